"""Parameter-efficient tuning of a small vision transformer: what moves, what is saved, the gain."""

from pathlib import Path

import numpy as np
import pytest
import torch
from classify_support import assert_a_stopped_training_goes_on_exactly
from planted_support import CLASSES, balanced_accuracy, image_set, shapes
from tests_support import Command, in_process

from classify.cli import main as cli
from classify.evaluation.export_onnx import export_onnx
from classify.methods.class_means import class_directions, start_at_class_means
from classify.methods.phases import MethodInputs, plain
from classify.training.criterion import label_criterion
from classify.training.networks import new_backbone
from classify.training.recipes import recipe
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError

SIZE, FOLDERS = 32, tuple("abcd")
BASE = {"arch": "test_vit", "size": SIZE, "batch_size": 16, "device": "cpu", "steps": 3}


def settings(**changes: object) -> TrainSettings:
    values = {**BASE, "precision": "float32", **changes}
    return TrainSettings.model_validate(values)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A transformer that has seen shapes in other noise, in a file."""
    file = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    images = image_set(*shapes((60,) * CLASSES, 5, 40.0, SIZE))
    chosen = settings(weights="none", steps=80, lr=1e-3, optimizer="adamw")
    save_classifier(file, train(build_backbone(chosen, FOLDERS), images, chosen))
    return str(file)


def train(net, images, chosen: TrainSettings):
    chosen, device = chosen.resolved(), Device(chosen)
    sampler = MixtureSampler(images, None, chosen.sampling, CLASSES)
    criterion = label_criterion(chosen, sampler.counts)
    inputs = MethodInputs(net, criterion, {}, sampler.counts, images, None, device, chosen.seed)
    trainer = ClassifierTrainer(plain(inputs), sampler, chosen, device)
    for step in range(chosen.steps):
        trainer.train_step(step)
    return trainer.result()


def test_adapters_on_a_long_tail_beat_fine_tuning_by_cross_entropy(weights):
    images = image_set(*shapes((60, 30, 6, 3), 1, 60.0, SIZE))
    held_out = image_set(*shapes((60,) * CLASSES, 2, 60.0, SIZE))

    def accuracy(seed: int, **changes: object) -> float:
        chosen = settings(weights=weights, steps=40, seed=seed, **changes)
        torch.manual_seed(seed)
        net = new_backbone(chosen, FOLDERS)
        if chosen.tuning == "adapters":
            start_at_class_means(net, images, Device(chosen))
        return balanced_accuracy(train(net, images, chosen), held_out)

    adapted = [accuracy(seed, **recipe("adapters").settings) for seed in (0, 1)]
    tuned = [accuracy(seed) for seed in (0, 1)]
    assert np.mean(adapted) > np.mean(tuned) + 0.03, (adapted, tuned)


def test_an_adapter_changes_nothing_before_it_is_trained(weights):
    net, images_pm1 = (
        build_backbone(settings(weights=weights), FOLDERS).eval(),
        torch.rand(2, 3, 32, 32),
    )
    before = net(images_pm1)
    net.adapt(4)
    torch.testing.assert_close(net.eval()(images_pm1).logits, before.logits)
    added = {n: p.numel() for n, p in net.net.named_parameters() if "adapter" in n}
    assert len(added) == 6 * 5  # six blocks
    assert sum(added.values()) == 6 * (2 * 64 * 4 + 4 + 64 + 1)


@pytest.mark.parametrize("tuning", ["head", "adapters"])
def test_only_what_is_tuned_moves(weights, tuning):
    chosen = settings(weights=weights, tuning=tuning, steps=2)
    net = new_backbone(chosen, FOLDERS)
    before = {name: value.clone() for name, value in net.net.state_dict().items()}
    images = image_set(*shapes((8,) * CLASSES, 1, 60.0, SIZE))
    after = train(net, images, chosen).net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith("head.")}
    if tuning == "adapters":
        expected |= {name for name in before if "adapter.2" in name}
        assert any("adapter.0" in name for name in moved)
        moved -= {name for name in moved if "adapter.0" in name or "adapter_scale" in name}
    assert moved == expected


def test_tuning_the_head_of_a_convolutional_network_keeps_its_statistics(tmp_path):
    scratch = settings(arch="tiny", size=16, weights="none")
    save_classifier(tmp_path / "tiny.safetensors", build_backbone(scratch, FOLDERS))
    chosen = settings(
        arch="tiny", size=16, weights=str(tmp_path / "tiny.safetensors"), tuning="head"
    )
    net = new_backbone(chosen, FOLDERS)
    before = {name: value.clone() for name, value in net.net.state_dict().items()}
    after = train(net, image_set(*shapes((8,) * CLASSES, 1, 60.0)), chosen).net.state_dict()
    assert {n for n in before if not torch.equal(before[n], after[n])} == {"fc.weight", "fc.bias"}


def test_the_classifier_begins_at_the_class_means(weights):
    net = new_backbone(settings(weights=weights, tuning="adapters"), FOLDERS)
    images = image_set(*shapes((8, 4, 2, 0), 1, 60.0, SIZE))
    device, fourth = Device(settings()), net.classifier.weight[3].detach().clone()
    start_at_class_means(net, images, device)
    net.eval()
    with torch.no_grad():
        embedding = net(images.batch(torch.tensor([12, 13])) / 127.5 - 1).embedding
    unit = torch.nn.functional.normalize(embedding)
    mean = torch.nn.functional.normalize(unit.sum(0), dim=0)
    torch.testing.assert_close(net.classifier.weight[2], mean, atol=1e-4, rtol=1e-3)
    assert torch.equal(net.classifier.weight[3], fourth)
    assert class_directions(net, images, 4, device)[3].eq(0).all()


def test_weights_of_another_size_are_fitted_and_patches_must_be_whole(weights):
    net = build_backbone(settings(weights=weights, size=64), FOLDERS)
    assert net(torch.rand(2, 3, 64, 64)).features.shape == (2, 64, 4, 4)
    same = build_backbone(settings(weights=weights), FOLDERS)
    known = load_classifier(Path(weights))
    body = {n: v for n, v in known.net.state_dict().items() if not n.startswith("head.")}
    assert all(torch.equal(same.net.state_dict()[name], value) for name, value in body.items())
    with pytest.raises(UserError, match="patches of 16 px, so take a multiple"):
        build_backbone(settings(size=40), FOLDERS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": "adapters", "weights": "none"}, "would keep random weights"),
        ({"tuning": "adapters", "second_stage": "crt"}, "second_stage=crt needs another"),
        ({"tuning": "adapters", "loss": "ldam"}, "loss=ldam needs another"),
        ({"tuning": "head", "freeze_norm": True}, "freezes all of it already"),
        ({"adapter_size": 4}, "needs tuning=adapters"),
    ],
)
def test_settings_without_effect_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**{"weights": "x.safetensors", **changes})


def test_norms_that_are_not_there_are_not_frozen(weights):
    chosen = settings(weights=weights, freeze_norm=True)
    with pytest.raises(UserError, match="freeze_norm got test_vit, which has no batch norms"):
        train(build_backbone(chosen, FOLDERS), image_set(*shapes((4,) * CLASSES, 1, 9.0)), chosen)


def test_a_network_without_blocks_is_refused():
    with pytest.raises(UserError, match="has no transformer blocks"):
        build_backbone(settings(arch="tiny"), FOLDERS).adapt(8)


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_the_command_trains_and_evaluates(fake_run, weights, run_cli):
    words = [f"--set={name}={value}" for name, value in BASE.items() if name != "device"]
    words += ["--device", "cpu", f"--set=weights={weights}"]
    done = run_cli("compare", "--recipes", "adapters", "--seeds", "1", *words)
    assert (done.code, "adapters" in done.stdout) == (0, True), done.stderr
    done = run_cli("train", "--set", "tuning=adapters", "--set", "adapter_size=4", *words)
    assert done.code == 0, done.stderr
    folder = fake_run.path / "classify" / "adapters+ce"
    net = load_classifier(folder / "classifier.safetensors")
    assert (net.facts.adapter_size, net.facts.cosine_scale) == (4, 25.0)
    assert "square" in run_cli("evaluate").stdout
    with pytest.raises(UserError, match="has adapters"):
        build_backbone(settings(weights=str(folder / "classifier.safetensors")), FOLDERS)


@pytest.mark.slow
def test_adapters_are_exported(weights, tmp_path):
    net = new_backbone(settings(weights=weights, tuning="adapters"), FOLDERS)
    assert export_onnx(net, tmp_path / "net.onnx") < 1e-4
    assert (tmp_path / "net.onnx").is_file()


def test_a_stopped_training_goes_on_exactly(fake_run, weights):
    chosen = settings(weights=weights, tuning="adapters", save_every=1)
    assert_a_stopped_training_goes_on_exactly(fake_run, chosen, stop=2)
