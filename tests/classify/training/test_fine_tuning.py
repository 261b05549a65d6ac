"""Fine-tuning: rates by layer, frozen parts, epochs, averages, exact resume, the probe's start."""

from pathlib import Path

import pytest
import torch
import yaml

from classify.comparison.cross_validation import train_folds
from classify.losses.settings import LossSettings
from classify.methods.base import Method
from classify.methods.phases import RunFacts
from classify.probe.settings import ProbeSettings
from classify.probe.train import ProbeJob, train_probe
from classify.training.context import phase_settings
from classify.training.criterion import LabelCriterion
from classify.training.job import TrainingJob
from classify.training.method_phases import phases_of
from classify.training.optimiser import parameter_groups
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings, recorded_settings
from classify.training.train import train_classifier
from classify.training.trainer import ClassifierTrainer
from tgn.models.backbones import TappedNet, build_backbone, load_classifier
from tgn.models.extractors import Extractor
from tgn.models.optimizers import SCALE
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent

FOLDERS = ("square", "disc", "bar", "cross")
SMALL = {
    "arch": "tiny",
    "steps": 4,
    "batch_size": 16,
    "size": 16,
    "device": "cpu",
    "precision": "float32",
}
ALL_RANDOM = {"augmentation": "trivial", "smallest_crop": 0.5, "mixed_sizes": "16,24,32"}


def trainer_of(run, settings: TrainSettings) -> ClassifierTrainer:
    images = run.split().image_set("train", run.path, settings.size)
    sampler = MixtureSampler(images, None, "random", len(FOLDERS))
    torch.manual_seed(0)
    student = build_backbone(settings, FOLDERS)
    method = Method(student, LabelCriterion("ce", "none", LossSettings(), sampler.counts))
    return ClassifierTrainer(method, sampler, settings, Device(settings))


def train(run, name: str, **changes):
    job = TrainingJob(run.path / "classify" / name)
    settings = TrainSettings.model_validate({**SMALL, **changes})
    return train_classifier(run, job, settings, Silent()), job.directory


def test_auto_depends_on_the_weights_and_is_recorded_as_what_it_was(fake_run, weights):
    _, folder = train(fake_run, "tuned", weights=weights)
    found = recorded_settings(folder / "settings.yaml")
    assert (found.optimizer, found.lr, found.weight_decay) == ("adamw", 1e-3, 0.05)
    assert found.head_lr_factor == 10
    scratch = TrainSettings(arch="tiny").resolved()
    assert (scratch.optimizer, scratch.lr, scratch.weight_decay) == ("sgd", 0.05, 5e-4)
    assert scratch.head_lr_factor == 1
    given = TrainSettings(optimizer="sgd", lr=0.3, weight_decay=0, head_lr_factor=2).resolved()
    assert (given.optimizer, given.lr, given.weight_decay) == ("sgd", 0.3, 0)
    assert given.head_lr_factor == 2
    assert given.resolved() == given


def test_settings_recorded_before_there_was_a_choice_mean_what_they_meant(tmp_path):
    old = TrainSettings(**SMALL, lr=0.05, weight_decay=5e-4).model_dump(mode="json")
    new = ("optimizer", "epochs", "head_lr_factor", "layer_decay", "start", "test_symmetries")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({key: old[key] for key in old if key not in new}))
    found = recorded_settings(file)
    assert found == TrainSettings(**SMALL).resolved()
    record = TrainSettings.with_new_names({key: old[key] for key in old if key not in new})
    assert record == found.model_dump(mode="json")  # as comparisons look for finished trainings
    del old["arch"], old["size"]
    file.write_text(yaml.safe_dump({key: old[key] for key in old if key not in new}))
    assert (recorded_settings(file).arch, recorded_settings(file).size) == ("tiny", 32)


def test_epochs_become_steps(fake_run):
    given = {key: value for key, value in SMALL.items() if key != "steps"}
    settings = TrainSettings(**given, epochs=2).with_changes({"seed": 1})
    job = TrainingJob(fake_run.path / "classify" / "x")
    result = train_classifier(fake_run, job, settings, Silent())
    steps = round(2 * (24 + 12 + 6 + 4) / 16)
    assert result["chosen"]["step"] == steps
    found = recorded_settings(job.directory / "settings.yaml")
    assert (found.steps, found.epochs) == (steps, None)
    with pytest.raises(UserError, match="^got both epochs and steps; give one of them$"):
        TrainSettings.resolve(overrides=["epochs=2", "steps=600"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["loss=focal", "label_smoothing=0.1"], "label_smoothing got loss=focal"),
        (["weights=none", "freeze_stages=2"], "freeze_stages would keep random weights"),
        (["weights=none", "freeze_norm=true"], "freeze_norm would keep random weights"),
        (["weights=none", "start=probe"], "start=probe needs pretrained weights"),
        (["second_stage=crt", "start=probe"], "start=probe got second_stage=crt too"),
        (["second_stage=ncm", "loss=ldam"], "loss=ldam got second_stage=ncm too"),
        (["loss=ldam", "start=probe"], "loss=ldam got start=probe too"),
        (["method=lsh", "start=probe"], "start=probe got method=lsh too"),
        (["method=lsh", "loss=ldam"], "loss=ldam got method=lsh too"),
        (["augmentation=none", "smallest_crop=0.5"], "smallest_crop got augmentation=none"),
        (["augmentation=trivial", "bands=5"], "needs 1 or 3 bands, not bands=5"),
        (
            ["augmentation=randaugment", "method=cross-modality", "cross_modality.bands=2"],
            "needs 1 or 3 bands, not cross_modality.bands=2",
        ),
        (["mixed_sizes=8,16"], "mixed_sizes.0: got '8': .* greater than or equal to 16"),
        (["mixed_sizes=large"], "mixed_sizes.0"),
    ],
)
def test_settings_without_an_effect_are_refused_in_one_line(words, complaint):
    with pytest.raises(UserError, match=complaint) as found:
        TrainSettings.resolve(overrides=words)
    assert "\n" not in str(found.value)


def test_a_recipe_that_does_not_fit_the_settings_is_refused_in_one_line():
    with pytest.raises(UserError, match="label_smoothing got loss=focal"):
        TrainSettings(label_smoothing=0.1).with_changes({"loss": "focal"})


def test_rates_fall_from_layer_to_layer(weights):
    settings = TrainSettings(**SMALL, weights=weights, layer_decay=0.5).resolved()
    net = build_backbone(settings, FOLDERS)
    groups = parameter_groups(Method(net, lambda logits, batch: logits.sum()), settings)
    found = {id(p): group for group in groups for p in group["params"]}
    scales = {"conv1": 1 / 16, "layer1": 1 / 8, "layer2": 1 / 4, "layer3": 1 / 2, "layer4": 1}
    seen = set()
    for name, parameter in net.net.named_parameters():
        group, layer = found[id(parameter)], name.partition(".")[0]
        seen.add(layer)
        assert group[SCALE] == {**scales, "bn1": 1 / 16, "fc": 10}[layer], name
        assert group["weight_decay"] == (0.05 if parameter.ndim > 1 else 0), name
    assert seen == {*scales, "bn1", "fc"}
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_a_step_moves_the_layers_at_their_rates(fake_run, weights):
    changes = {"layer_decay": 0.5, "optimizer": "sgd", "lr": 0.1, "weight_decay": 0}
    trainer = trainer_of(fake_run, TrainSettings(**SMALL, weights=weights, **changes))
    net = trainer.method.student.net
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    trainer.train_step(0)
    rate = 0.1 * (0.01 / 0.06)  # the first step of the warm-up
    for name, scale in (
        ("layer3.0.conv1.weight", 0.5),
        ("fc.weight", 10),
        ("conv1.weight", 1 / 16),
    ):
        parameter = net.get_parameter(name)
        expected = before[name] - rate * scale * 1.9 * parameter.grad  # Nesterov's first step
        torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize(("stage", "factor"), [("crt", 10), ("lws", 1), ("maxnorm", 1)])
def test_the_last_layer_has_its_higher_rate_where_it_is_new(fake_run, weights, stage, factor):
    _, folder = train(fake_run, stage, weights=weights, second_stage=stage)
    files = [folder / "first-stage" / "settings.yaml", folder / "settings.yaml"]
    assert [recorded_settings(file).head_lr_factor for file in files] == [10, factor]


def test_a_later_round_has_no_new_last_layer():
    pairing = {"paired": "there", "iterations": 2}
    settings = TrainSettings(method="cross-modality", cross_modality=pairing)
    phases = phases_of(settings, RunFacts((4, 3), 1, None, Path(), Path()))
    found = {phase.name: phase_settings(settings, phase).head_lr_factor for phase in phases}
    later = ("control-1", "ours-1", "paired-1", "control-2", "")
    assert found == {"ours-0": 10, "paired-0": 10, **dict.fromkeys(later, 1)}
    given = settings.with_changes({"head_lr_factor": 3})
    assert {phase_settings(given, phase).head_lr_factor for phase in phases} == {3}


def test_frozen_stages_do_not_move_and_are_not_recorded(fake_run, weights):
    settings = TrainSettings(**SMALL, weights=weights, freeze_stages=3, optimizer="adamw")
    trainer = trainer_of(fake_run, settings)
    student: TappedNet = trainer.method.student
    frozen = ("conv1", "bn1", "layer1", "layer2")  # tiny's first stage is its stem
    before = {name: value.clone() for name, value in student.net.state_dict().items()}
    for step in range(3):
        trainer.train_step(step)
    for net in (student, trainer.result()):
        for name, value in net.net.state_dict().items():
            if name.startswith(frozen):
                assert torch.equal(value, before[name]), name
            elif "num_batches" not in name:
                assert not torch.equal(value, before[name]), name
    student.train()
    trainer.frozen.hold()
    _, stages = student.with_stages(torch.zeros(2, 3, 16, 16))
    assert [stage.requires_grad for stage in stages] == [False, False, False, True]
    with pytest.raises(UserError, match="freeze_stages got 6; tiny has 5 stages"):
        trainer_of(fake_run, settings.with_changes({"freeze_stages": 6}))


def test_norms_keep_their_statistics_and_learn_their_weights(fake_run, weights):
    trainer = trainer_of(fake_run, TrainSettings(**SMALL, weights=weights, freeze_norm=True))
    net = trainer.method.student.net
    mean, weight = net.bn1.running_mean.clone(), net.bn1.weight.detach().clone()
    trainer.train_step(0)
    assert torch.equal(net.bn1.running_mean, mean)
    assert not torch.equal(net.bn1.weight, weight)


def test_the_average_is_that_of_its_decay(fake_run):
    trainer = trainer_of(fake_run, TrainSettings(**SMALL, ema_decay=0.15))
    name = "fc.weight"
    values = []
    for step in range(3):
        trainer.train_step(step)
        values.append(trainer.method.student.net.get_parameter(name).detach().clone())
    first = values[0]  # the first update copies
    second = 0.15 * first + 0.85 * values[1]
    third = 0.15 * second + 0.85 * values[2]
    torch.testing.assert_close(trainer.result().net.get_parameter(name).detach(), third)


@pytest.mark.parametrize(
    "chosen",
    [
        {**ALL_RANDOM, "layer_decay": 0.7, "freeze_stages": 1},
        {"start": "probe", "mixing": "cmo", "cmo": {"probability": 1}, "freeze_norm": True},
    ],
)
def test_a_resumed_training_is_bit_equal(fake_run, weights, chosen):
    changes = {"weights": weights, **chosen}

    def stops(self, step, real=ClassifierTrainer.train_step):
        if step == 2:
            raise KeyboardInterrupt
        return real(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierTrainer, "train_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(fake_run, "stopped", **changes)
    files = [train(fake_run, name, **changes)[1] for name in ("stopped", "whole")]
    hashes = {sha256_of(folder / "classifier.safetensors") for folder in files}
    assert len(hashes) == 1
    other = train(fake_run, "other", **{**changes, "seed": 1})[1]
    assert sha256_of(other / "classifier.safetensors") not in hashes


def test_folds_share_the_features_of_their_probes(fake_run, weights, monkeypatch):
    computed, real = [], Extractor.features

    def spy(self, images, *rest):
        computed.append(len(images))
        return real(self, images, *rest)

    monkeypatch.setattr(Extractor, "features", spy)
    settings = TrainSettings.model_validate({**SMALL, "weights": weights, "start": "probe"})
    job = TrainingJob(fake_run.path / "classify" / "folds")
    train_folds(fake_run, job, 2, settings.with_changes({"steps": 1, "lr": 1e-9}), Silent())
    assert computed == [46, 46]  # symmetries and crops of all training images, once
    files = [job.directory / f"fold-{k}" / "classifier.safetensors" for k in range(2)]
    first, second = (load_classifier(file).classifier.weight for file in files)
    assert not torch.allclose(first, second)  # each is fitted to its own images


def test_it_starts_with_the_probe_and_trains_it(fake_run, weights):
    common = {"weights": weights, "start": "probe", "size": 32, "test_symmetries": 8}
    result, folder = train(fake_run, "begun", **common, steps=1, lr=1e-9, ema_decay=0.0)
    probe = ProbeSettings(networks=f"tiny:{weights}", size=32, device="cpu")
    job = ProbeJob(fake_run.path / "classify" / "probe")
    expected = train_probe(fake_run, job, probe, Silent())
    begun, fitted = (load_classifier(d / "classifier.safetensors") for d in (folder, job.directory))
    torch.testing.assert_close(begun.classifier.weight, fitted.classifier.weight)
    assert begun.facts.probe_parts == fitted.facts.probe_parts != ()
    moved, folder = train(fake_run, "moved", **common, steps=3, lr=0.01)
    net = load_classifier(folder / "classifier.safetensors")
    assert not torch.equal(net.classifier.weight, fitted.classifier.weight)
    assert not torch.equal(net.net.conv1.weight, fitted.net.conv1.weight)
    assert result["n"] == moved["n"] == expected["n"]
