"""The recipes for rare classes, piece by piece: sampling, losses, projections, settings, resume."""

import math
from pathlib import Path

import pytest
import torch
from classify_support import assert_a_stopped_training_goes_on_exactly
from tests_support import Command, in_process, write_generated

from classify.cli import main as cli
from classify.losses.settings import LossSettings
from classify.methods.base import Batch
from classify.methods.phases import MethodInputs, RunFacts
from classify.methods.second_stage import MaxNorm
from classify.training import trainer as trainer_module
from classify.training.class_frequencies import ClassFrequencies, GeneratedUse
from classify.training.context import phase_settings
from classify.training.criterion import LabelCriterion, label_criterion
from classify.training.method_phases import phases_of
from classify.training.mixing import draw_blend, mix_images
from classify.training.mixing_settings import CmoSettings
from classify.training.recipe_names import recipe_name
from classify.training.recipes import recipe
from classify.training.sampling import BatchRequest, MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.manifest import active_rows, image_set
from tgn.models.backbones import build_backbone
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.seeds import generator

COUNTS = torch.tensor([24, 12, 6, 4])


def settings(**changes: object) -> TrainSettings:
    base = {"steps": 4, "arch": "tiny", "batch_size": 16, "size": 16, "device": "cpu"}
    return TrainSettings.model_validate({**base, "precision": "float32", **changes})


def batch(labels: torch.Tensor, prior: torch.Tensor) -> Batch:
    ones, real = torch.ones(len(labels)), torch.zeros(len(labels), dtype=torch.bool)
    images = torch.zeros(len(labels), 3, 8, 8)
    return Batch(images, labels, labels, ones, real, real, prior, 0.0)


@pytest.fixture
def sampler(fake_run):
    split = fake_run.split()
    real = split.image_set("train", fake_run.path, 16)
    return MixtureSampler(real, None, "random", split.num_classes)


# CMO


def test_the_foregrounds_of_cmo_favour_rare_classes_and_leave_the_backgrounds(sampler):
    torch.testing.assert_close(sampler.foreground_prior(1.0), torch.full((4,), 0.25).double())
    rare = 1 / COUNTS.double()
    torch.testing.assert_close(sampler.foreground_prior(2.0), rare / rare.sum())
    plain = sampler.batch(BatchRequest(4000, 0, 1))
    with_foregrounds = sampler.batch(BatchRequest(4000, 0, 1, foreground_power=2.0))
    assert with_foregrounds.has_foregrounds
    assert torch.equal(with_foregrounds.images_u8[:4000], plain.images_u8)
    assert torch.equal(with_foregrounds.labels[:4000], plain.labels)
    share = torch.bincount(with_foregrounds.labels[4000:], minlength=4) / 4000
    torch.testing.assert_close(share.double(), rare / rare.sum(), atol=0.03, rtol=0)
    again = sampler.batch(BatchRequest(4000, 0, 1, foreground_power=2.0))
    assert torch.equal(again.images_u8, with_foregrounds.images_u8)


def test_foregrounds_may_be_generated(fake_run):
    folder, split = write_generated(fake_run, label=3, count=30), fake_run.split()
    real = split.image_set("train", fake_run.path, 16)
    white = image_set(folder, active_rows(folder, split), split, 16)
    sampler = MixtureSampler(real, white, "random", split.num_classes)
    sampled = sampler.batch(BatchRequest(400, 0, 1, foreground_power=1.0))
    is_white = (sampled.images_u8 == 255).flatten(1).all(1)
    assert torch.equal(is_white, sampled.is_generated)
    assert is_white[400:].any()


def test_a_box_of_the_foreground_brings_its_share_of_the_label():
    labels, images = torch.tensor([0, 0, 0, 2, 3, 3]), torch.arange(6.0).view(-1, 1, 1, 1)
    for step in range(5):
        blend = draw_blend("cmo", labels, COUNTS, 1.0, generator(0, "mix", step))
        assert blend.partner.tolist() == [3, 4, 5]
        whole = images.expand(-1, 3, 64, 64)
        mixed = mix_images(whole[:3], whole[blend.partner], blend)
        expected = blend.share * torch.arange(3) + (1 - blend.share) * torch.arange(3, 6)
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), expected, atol=0.1, rtol=0)


def test_cmo_is_off_at_both_ends_and_as_often_as_it_says():
    cmo = CmoSettings(probability=0.5, margin=0.1)
    assert [cmo.is_on(progress, 0.4) for progress in (0.0, 0.1, 0.89, 0.9)] == [0, 1, 1, 0]
    assert not cmo.is_on(0.5, 0.5)


def test_a_step_of_cmo_has_the_batch_it_should(fake_run, sampler):
    changed = settings(steps=100, mixing="cmo")
    net = build_backbone(changed, tuple("abcd"))
    criterion = LabelCriterion("ce", "none", LossSettings(), sampler.counts)
    method = trainer_module.Method(net, criterion)
    trainer = ClassifierTrainer(method, sampler, changed, Device(changed))
    steps = [trainer._sample(step).has_foregrounds for step in range(100)]
    assert not any(steps[:2] + steps[-1:])
    assert 35 < sum(steps) < 65
    step = steps.index(True)
    made = trainer._batch(trainer._sample(step), step, step / 100)
    assert made.images_pm1.shape == (16, 3, 16, 16)
    assert made.labels.shape == made.partners.shape == made.share.shape == (16,)


# Label over-smoothing


def test_over_smoothed_labels_are_torchs():
    changed = settings(label_smoothing=0.3).with_changes(recipe("los").settings)
    first, last = phases_of(changed, RunFacts((4, 3), 1, None, Path(), Path()))
    assert phase_settings(changed, first).label_smoothing == 0.3
    found = phase_settings(changed, last)
    assert found.label_smoothing == 0.98  # in place of the other, not on top of it
    loss = label_criterion(found, COUNTS)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    labels, prior = torch.tensor([0, 1, 2, 3, 0, 1]), torch.full((4,), 0.25)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.98)
    torch.testing.assert_close(loss(logits, batch(labels, prior)), expected)
    assert torch.autograd.gradcheck(lambda z: loss(z, batch(labels, prior.double())), logits)


# Weight balancing


def test_max_norm_projects_onto_a_ball_between_the_norms(fake_run):
    net = build_backbone(settings(), tuple("abcd"))
    width = net.embedding_size
    directions = torch.nn.functional.normalize(torch.randn(4, width))
    with torch.no_grad():
        net.classifier.weight.copy_(directions * torch.tensor([4.0, 3, 2, 1])[:, None])
    inputs = MethodInputs(net, lambda *_: None, {}, COUNTS, None, None, None, 0)
    method = MaxNorm(inputs, 0.5)
    with torch.no_grad():
        net.classifier.weight[3] *= 5
    method.after_step()
    norms = net.classifier.weight.norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([2.5, 2.5, 2.0, 2.5]))
    torch.testing.assert_close(net.classifier.weight[0], 2.5 * directions[0])


# Balance


def test_balance_adjusts_by_the_real_counts():
    logits = torch.zeros(2, 4, dtype=torch.float64)
    labels, generated = torch.tensor([0, 3]), torch.tensor([0, 12, 18, 20])
    prior = ClassFrequencies(COUNTS, generated, "random", GeneratedUse()).at(0.0).real

    def loss(balance: float) -> float:
        criterion = label_criterion(settings(balance=balance), COUNTS, generated)
        return float(criterion(logits, batch(labels, prior)))

    assert loss(0.0) == pytest.approx(math.log(4))
    assert loss(1.0) == pytest.approx(-(math.log(24 / 46) + math.log(4 / 46)) / 2, rel=1e-6)
    roots = COUNTS.double().sqrt()
    half = (roots / roots.sum()).log()
    assert loss(0.5) == pytest.approx(-float(half[0] + half[3]) / 2, rel=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"loss": "focal"},
        {"sampling": "class-balanced"},
        {"reweighting": "deferred"},
        {"second_stage": "crt"},
        {"method": "t2fts"},
        {"loss_options": {"logit_adjustment_tau": 2.0}},
    ],
)
def test_balance_is_refused_beside_another_way_of_balancing(other):
    (name,) = other
    with pytest.raises(ValueError, match=rf"balance got {name}[=.]"):
        settings(balance=0.5, **other)


def test_label_smoothing_of_a_stage_that_is_not_there_is_refused():
    smoothed = ["second_stage_options.label_smoothing=0.5"]
    with pytest.raises(UserError, match="needs crt or lws"):
        TrainSettings.resolve(overrides=smoothed)
    with pytest.raises(UserError, match="label_smoothing got loss=focal"):
        TrainSettings.resolve(overrides=[*smoothed, "second_stage=crt", "loss=focal"])


# Whole commands


def test_recipes_keep_what_else_a_group_says():
    base = settings(second_stage_options={"steps_fraction": 0.5})
    options = base.with_changes(recipe("los").settings).second_stage_options
    assert (options.steps_fraction, options.label_smoothing) == (0.5, 0.98)


@pytest.mark.parametrize(
    ("name", "expected"), [("cmo", "cmo"), ("balance-0.5", "balance-0.5"), ("los", "crt+los")]
)
def test_a_recipe_names_its_classifier(name, expected):
    assert recipe_name(settings().with_changes(recipe(name).settings), False) == expected


@pytest.mark.parametrize("name", ["balanced-softmax+cmo", "los", "weight-balancing", "balance-0.5"])
def test_a_stopped_training_goes_on_exactly(fake_run, name):
    changed = settings(save_every=1).with_changes(recipe(name).settings)
    assert_a_stopped_training_goes_on_exactly(fake_run, changed, stop=4)


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_the_commands_take_them(fake_run, run_cli):
    small = ["--set", "steps=2", "--set", "size=16", "--device", "cpu", "--set", "batch_size=8"]
    small += ["--set", "arch=tiny"]
    done = run_cli("train", "--set", "balance=0.5", "--set", "mixing=cmo", *small)
    assert (done.code, "macro f1" in done.stdout) == (0, True), done.stderr
    assert (fake_run.path / "classify" / "balance-0.5+cmo" / "metrics.json").is_file()
    done = run_cli("compare", "--recipes", "los,weight-balancing", "--seeds", "1", *small)
    assert (done.code, "weight-balancing" in done.stdout) == (0, True), done.stderr
