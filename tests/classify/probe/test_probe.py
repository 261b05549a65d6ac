"""The verb probe on a made-up run, its features and its checkpoint."""

import json

import pytest
import torch
from tests_support import in_process, write_generated

from classify.cli.main import main
from classify.evaluation.evaluate import evaluate
from classify.probe.settings import ProbeSettings
from classify.probe.train import ProbeJob, train_probe
from tgn.data.augmentation import dihedral
from tgn.data.manifest import write_filtered
from tgn.models.backbones import build_backbone, freeze, load_classifier, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.probe.views import CropViews, SymmetryViews, features, folded
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings

FOLDERS = ("square", "disc", "bar", "cross")


@pytest.fixture
def command(monkeypatch, capsys):
    return in_process(main, monkeypatch, capsys)


@pytest.fixture
def net():
    torch.manual_seed(1)
    net = build_backbone(BackboneSettings(arch="tiny", weights="none", size=32), FOLDERS)
    for module in net.modules():  # statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return freeze(net)


@pytest.fixture
def settings(net, tmp_path):
    save_classifier(tmp_path / "tiny.safetensors", net)
    return ProbeSettings(
        networks=f"tiny:{tmp_path / 'tiny.safetensors'}", size=32, crops=2, device="cpu"
    )


def set_words(settings, **others):
    values = {**settings.model_dump(include={"networks", "size", "crops"}), **others}
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def random_images(count):
    rng = torch.Generator().manual_seed(2)
    return torch.randint(256, (count, 3, 32, 32), generator=rng, dtype=torch.uint8)


def test_folding_batch_normalisation_keeps_the_features(net):
    images_pm1 = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    fast = folded(net)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.modules())
    torch.testing.assert_close(features(fast, images_pm1), torch.cat(net.pooled(images_pm1), 1))


def test_views_are_the_symmetries_in_their_order(net):
    images_u8 = random_images(2)
    found = SymmetryViews(net, 8)(images_u8)
    turned = dihedral(images_u8, 5).float() / 127.5 - 1
    torch.testing.assert_close(found[:, 5], torch.cat(net.pooled(turned), 1))


def test_crops_depend_on_the_image_and_the_seed_alone(net):
    images_u8 = random_images(3)
    crops = CropViews(net, 2, 0.5, seed=0)
    together = crops(images_u8)
    torch.testing.assert_close(together[[2]], crops(images_u8[[2]]))
    assert not torch.allclose(together, CropViews(net, 2, 0.5, seed=1)(images_u8))
    assert not torch.allclose(together[:, 0], together[:, 1])


def test_the_verb_writes_what_other_classifiers_write(command, fake_run, settings):
    done = command("probe", "--run", "fake", *set_words(settings))
    assert done.code == 0, done.stderr
    folder = fake_run.classifiers / "probe"
    result = json.loads((folder / "metrics.json").read_text())
    for key in ("overall", "balanced", "head", "tail", "many", "medium", "few", "per_class", "ece"):
        assert key in result
    assert result["n"] == 12
    assert {file.name for file in folder.iterdir()} == {
        "classifier.safetensors",
        "settings.yaml",
        "confusion.png",
        "reliability.png",
        "metrics.json",
    }


def test_the_checkpoint_scores_one_view_as_the_probe_does(fake_run, settings):
    one_view = settings.model_copy(update={"symmetries": 1, "crops": 0})
    directory = fake_run.classifiers / "one"
    result = train_probe(fake_run, ProbeJob(directory), one_view, Silent())
    net = load_classifier(directory / "classifier.safetensors")
    test = fake_run.split().image_set("test", fake_run.path, 32)
    logits = net(test.batch(torch.arange(len(test))).float() / 127.5 - 1).logits
    hits = (logits.argmax(1) == test.labels).float().mean()
    assert float(hits) == pytest.approx(result["overall"])


def test_evaluate_gives_the_figures_of_the_probe(command, fake_run, settings):
    directory = fake_run.classifiers / "probe"
    result = train_probe(fake_run, ProbeJob(directory), settings, Silent())
    net = load_classifier(directory / "classifier.safetensors")
    assert net.facts.test_symmetries == settings.symmetries == 8
    test = fake_run.split().image_set("test", fake_run.path, 32)
    device = Device(ComputeSettings(device="cpu", precision="float32"))
    found = evaluate(net, test, fake_run.split(), device)
    assert found["confusion"] == result["confusion"]
    assert found["ece"] == pytest.approx(result["ece"], abs=1e-4)


def test_evaluate_and_predict_take_a_probe(command, fake_run, settings):
    train_probe(fake_run, ProbeJob(fake_run.classifiers / "probe"), settings, Silent())
    file = next((fake_run.path / fake_run.split().root).resolve().rglob("*.png"))
    done = command("predict", str(file), "--run", "fake", "--device", "cpu")
    assert done.code == 0, done.stderr
    assert done.stdout.split("\t")[1] in FOLDERS


def test_features_from_the_cache_give_the_same_result(fake_run, settings, monkeypatch):
    first = train_probe(fake_run, ProbeJob(fake_run.classifiers / "a"), settings, Silent())
    monkeypatch.setattr("tgn.models.extractors.Extractor.features", None)  # nothing is computed
    again = train_probe(fake_run, ProbeJob(fake_run.classifiers / "b"), settings, Silent())
    del first["seconds"], again["seconds"]
    assert first == again


def test_several_networks_are_joined_and_leave_no_checkpoint(fake_run, settings):
    both = settings.model_copy(update={"networks": f"{settings.networks},{settings.networks}"})
    directory = fake_run.classifiers / "both"
    result = train_probe(fake_run, ProbeJob(directory), both, Silent())
    assert [one["name"] for one in result["networks"]] == ["tiny", "tiny"]
    assert not (directory / "classifier.safetensors").exists()


def test_compare_shows_probes_beside_the_others(command, fake_run, settings):
    words = [w.replace("networks", "probe.networks") for w in set_words(settings)]
    words = [w.replace("crops", "probe.crops") for w in words]
    words += ["--set", "probe.size=32", "--set", "steps=2", "--set", "batch_size=8"]
    arguments = ("--recipes", "probe,probe-prototypes", "--seeds", "2", "--run", "fake")
    done = command("compare", *arguments, "--device", "cpu", *words)
    assert done.code == 0, done.stderr
    table = json.loads(fake_run.comparison_file.read_text())
    assert set(table["recipes"]) == {"probe", "probe-prototypes"}
    assert table["verdict"]["use"] in table["recipes"]
    assert done.stdout.splitlines()[-1] == table["verdict"]["sentence"]
    metrics = fake_run.comparison / "probe-seed1" / "metrics.json"
    before = metrics.stat().st_mtime_ns
    assert command("compare", *arguments, "--device", "cpu", *words, "--set", "steps=3").code == 0
    assert metrics.stat().st_mtime_ns == before  # a probe does not depend on steps


def test_images_of_which_a_filter_kept_none_are_refused(command, fake_run):
    folder = write_generated(fake_run, 3, 2)
    write_filtered(folder, [])
    for words in (("train", "--augmented"), ("compare", "--recipes", "ce+generated")):
        done = command(*words, "--run", "fake")
        assert done.code == 2
        assert "tgn filter has kept no image of" in done.stderr
        assert "without --augmented" in " ".join(done.stderr.split())
    plan = command("compare", "--recipes", "probe", "--run", "fake", "--dry-run")
    assert plan.code == 0, plan.stderr


def test_an_empty_name_of_a_network_is_refused(command, fake_run):
    done = command("probe", "--run", "fake", "--set", "networks=a,,b")
    assert done.code == 2
    assert "expected ARCH or ARCH:FILE" in done.stderr
