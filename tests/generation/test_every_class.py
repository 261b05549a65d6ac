"""Head classes are generated as tail classes are, where generator and bank know them."""

import pytest
import torch
from generation_support import generate_tail
from tests_support import BARELY, QUICK, Stops, copied_run, in_process

import tgn
from tgn.backends import backend, trained_backend
from tgn.cli import main as cli
from tgn.data.manifest import read_manifest
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.generation.cdtg.train import train_cdtg
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.diffusion.train import train_diffusion
from tgn.generation.generate import GenerationRequest, generate_images
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.models.feature_bank import FeatureBank, read_bank, write_bank
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent

EVERY = (1, 2, 3, 0)  # the tail, then the head


@pytest.fixture
def command(monkeypatch, capsys):
    return in_process(cli.main, monkeypatch, capsys)


def generated(run, out, classes, n=6, **changes):
    chosen = CdtgSampleSettings.model_validate({**QUICK, "n": n, "block": 4, **changes})
    return generate_tail(run, out, chosen, classes)


def without_head(run) -> None:
    """Write the feature bank as older versions did."""
    bank, tail = read_bank(run.kmdn), sum(run.split().counts[1:])
    files, own = bank.files[:tail], bank.weights_sha256
    write_bank(run.kmdn, FeatureBank(bank.features[:tail], bank.labels[:tail], files, own))


def test_the_bank_has_of_each_head_class_as_many_images_as_the_largest_tail_class(distilled):
    bank, split = read_bank(distilled.kmdn), distilled.split()
    assert torch.bincount(bank.labels).tolist() == [12, 12, 6, 4]
    assert bank.labels.tolist()[:22] == [label for _, label in split.train if label > 0]
    head = bank.files[22:]
    assert len({*head}) == 12
    squares = [file for file, label in split.train if label == 0]
    assert {*head} < {*squares}
    assert head != squares[:12]  # random ones


def test_distill_writes_the_bank_anew_without_training(distilled):
    files = ("tail.safetensors", "bank.safetensors", "bank.json", "metrics.jsonl")
    before = {name: (distilled.kmdn / name).read_bytes() for name in files}
    without_head(distilled)
    chosen = DistillSettings.model_validate({**BARELY, **QUICK})
    distill(distilled, chosen, Silent())
    assert before == {name: (distilled.kmdn / name).read_bytes() for name in files}


def test_every_class_is_drawn_from_images_of_its_own(trained, tmp_path, command):
    out = ["--out", str(tmp_path / "a"), "--device", "cpu", "--set", "block=4"]
    plan = command("generate", "--class", "every", "--dry-run", *out)
    told = "50 images of the tail (12 to 20 a class) and 17 images of the head (17 to 17 a class)"
    assert told in plan.stdout
    assert not (tmp_path / "a").exists()
    done = command("generate", "--class", "every", *out)
    assert done.code == 0, done.stderr
    rows = list(read_manifest(tmp_path / "a"))
    counts = {name: sum(row.folder == name for row in rows) for name in ("square", "bar")}
    assert (len(rows), counts) == (67, {"square": 17, "bar": 18})
    assert all(row.source_file.startswith(f"train/{row.folder}/") for row in rows)
    assert len({row.source_file for row in rows if row.folder == "square"}) == 12


def test_images_of_the_tail_are_those_without_the_head(trained, tmp_path):
    generated(trained, tmp_path / "tail", EVERY[:3])
    generated(trained, tmp_path / "every", EVERY)
    tail, every = (list(read_manifest(tmp_path / name)) for name in ("tail", "every"))
    assert [row for row in every if row.class_index > 0] == tail
    without_head(trained)
    generated(trained, tmp_path / "old bank", EVERY[:3])
    assert list(read_manifest(tmp_path / "old bank")) == tail


def test_an_interrupted_call_goes_on(trained, tmp_path):
    settings = CdtgSampleSettings(n=6, block=4, **QUICK)
    sampler = trained_backend(trained).open_sampler(trained, settings, EVERY)
    request = GenerationRequest(EVERY, tmp_path / "a", settings)
    with pytest.raises(KeyboardInterrupt):
        generate_images(trained, sampler, request, Stops(20))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.png")}
    assert 0 < len(written) < 24
    generated(trained, tmp_path / "a", EVERY)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    generated(trained, tmp_path / "b", EVERY)
    assert list(read_manifest(tmp_path / "a")) == list(read_manifest(tmp_path / "b"))


def test_an_older_bank_names_the_command_and_still_serves_the_tail(trained, tmp_path, command):
    without_head(trained)
    for given in ("every", "square"):
        done = command("generate", "--class", given, "--dry-run", "--device", "cpu")
        assert (done.code, "has no head classes" in done.stderr) == (2, True)
        assert "tgn distill" in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2  # which class it is, and the error
    with pytest.raises(UserError, match="no head classes"):
        generated(trained, tmp_path / "a", EVERY)
    assert not (tmp_path / "a").exists()
    loaded = tgn.load_run("fake").generator(device="cpu")
    assert loaded.head_classes == []
    with pytest.raises(UserError, match="no head classes"):
        loaded.sample("square", 2)


@pytest.mark.parametrize(
    ("trained_classes", "message"),
    [("tail", "knows tail classes only"), (None, "does not say whether it knows head classes")],
)
def test_a_generator_of_the_tail_is_refused_for_the_head(trained, trained_classes, message):
    header = read_metadata(trained.cdtg_generator)
    assert header.pop("trained_classes") == "all"
    header |= {"trained_classes": trained_classes} if trained_classes else {}
    save_weights(trained.cdtg_generator, load_weights(trained.cdtg_generator), header)
    with pytest.raises(UserError, match=f"{message}.*tgn train --no-resume"):
        generated(trained, trained.generated, (0,))
    assert not trained.generated.exists()
    generated(trained, trained.generated, EVERY[:3])
    assert tgn.load_run("fake").generator(device="cpu").head_classes == []


def test_training_on_the_tail_is_written_into_the_generator(distilled):
    few = {**QUICK, "steps": 1, "batch_size": 4, "clip": "none", "classes": "tail"}
    train_cdtg(distilled, CdtgTrainSettings.model_validate(few), Silent())
    with pytest.raises(UserError, match="knows tail classes only"):
        generated(distilled, distilled.generated, (0,))


def test_python_draws_head_classes_by_name(trained):
    loaded = tgn.load_run("fake").generator(device="cpu")
    assert loaded.head_classes == ["square"]
    images = loaded.sample("square", 3)
    assert all(source.startswith("train/square/") for source in images.sources)


@pytest.mark.parametrize("classes", ["all", "tail"])
def test_diffusion_draws_what_it_was_trained_on(made_distilled, in_tmp, classes):
    run = copied_run(made_distilled, in_tmp)
    few = {"size": 32, "width": 16, "batch_size": 8, "steps": 1, "autoencoder_steps": 1}
    chosen = DiffusionTrainSettings.model_validate({**QUICK, **few, "classes": classes})
    train_diffusion(run, chosen, Silent())
    settings = DiffusionSampleSettings(n=2, block=2, sampling_steps=2, **QUICK)
    if classes == "tail":
        with pytest.raises(UserError, match="tail classes only.*--backend diffusion --no-resume"):
            backend("diffusion").open_sampler(run, settings, EVERY)
        return
    generate_tail(run, in_tmp / "out", settings, EVERY)
    rows = list(read_manifest(in_tmp / "out"))
    assert {row.folder for row in rows} == {"square", "disc", "bar", "cross"}
    assert all(row.source_file.startswith(f"train/{row.folder}/") for row in rows)
