"""The class frequencies of a step and the prior of its real images, against numbers by hand."""

import math

import pytest
import torch
from tests_support import write_generated

from classify.losses.settings import LossSettings
from classify.methods.base import Batch
from classify.training.class_frequencies import ClassFrequencies, Frequencies, GeneratedUse
from classify.training.criterion import LabelCriterion
from classify.training.generated_plan import use_of_generated
from classify.training.job import TrainingJob
from classify.training.sampling import BatchRequest, MixtureSampler
from classify.training.settings import TrainSettings
from tgn.data.manifest import active_rows, image_set

REAL, GENERATED = torch.tensor([24, 12, 6, 4]), torch.tensor([0, 12, 0, 30])
USE = GeneratedUse(share=0.5, until=0.6)


def shares(*values: float) -> torch.Tensor:
    given = torch.tensor(values, dtype=torch.float64)
    return given / given.sum()


@pytest.mark.parametrize(
    ("sampling", "classes", "prior"),
    [
        # 24 + 0, 12 + 12, 6 + 0, 4 + 20 images; what is real of them: 24, 12, 6, 4
        ("random", (24, 24, 6, 24), (24, 12, 6, 4)),
        # 1/2 of the second class and 5/6 of the last are generated
        (
            "square-root",
            (24**0.5, 24**0.5, 6**0.5, 24**0.5),
            (24**0.5, 24**0.5 / 2, 6**0.5, 24**0.5 / 6),
        ),
        ("class-balanced", (1, 1, 1, 1), (2, 1, 2, 1)),
    ],
)
def test_the_prior_is_that_of_the_real_images(sampling, classes, prior):
    found = ClassFrequencies(REAL, GENERATED, sampling, USE)
    torch.testing.assert_close(found.at(0.5).classes, shares(*classes))
    torch.testing.assert_close(found.at(0.5).real, shares(*prior))
    power = {"random": 1, "square-root": 0.5}.get(sampling, 0)
    torch.testing.assert_close(found.at(0.6).real, shares(*(n**power for n in (24, 12, 6, 4))))


def test_a_generated_image_is_never_shown_more_often_than_a_real_one():
    """Of n = 30 real and g = 3 generated images, 3 / 33 of all places may be generated ones."""
    real, generated = torch.tensor([30, 30, 10, 10]), torch.tensor([3, 300, 10, 0])
    found = ClassFrequencies(real, generated, "class-balanced", GeneratedUse(1.0, 0.5))
    expected = [3 / 33 / 0.5, 1.0, 1.0, 0.0]  # of the first half of the training
    assert found.at(0.4).generated.tolist() == pytest.approx(expected)
    usual = ClassFrequencies(real, generated, "class-balanced", USE)
    assert usual.at(0.4).generated.tolist() == pytest.approx([3 / 33 / 0.6, 0.5, 0.5, 0.0])
    progressive = ClassFrequencies(real, generated, "progressive", USE)
    assert progressive.at(0.4).generated.tolist() == pytest.approx([3 / 33, 0.5, 0.5, 0.0])
    for n, g, s in zip(real.tolist(), generated.tolist(), expected, strict=True):
        if g:
            assert s * 0.5 / g <= (1 - s * 0.5) / n + 1e-9


def test_a_class_with_generated_images_only_keeps_its_place():
    found = Frequencies(shares(1, 1, 2), torch.tensor([0.0, 1.0, 0.5]).double())
    torch.testing.assert_close(found.real, shares(1, 1, 1))


@pytest.mark.parametrize("name", ["balanced-softmax", "logit-adjustment"])
def test_filling_up_does_not_turn_balanced_softmax_into_cross_entropy(fake_run, name):
    """Of equal logits, the loss of class 3 is -log of its 4 of 46 real images, not of 1 in 4."""
    folder, split = write_generated(fake_run, label=3, count=30), fake_run.split()
    real = split.image_set("train", fake_run.path, 16)
    white = image_set(folder, active_rows(folder, split), split, 16)
    sampler = MixtureSampler(real, white, "random", split.num_classes, USE)
    criterion = LabelCriterion(name, "none", LossSettings(), sampler.counts)
    for progress in (0.0, 0.9):
        prior = sampler.batch(BatchRequest(8, 0, 0, progress)).prior
        labels, ones = torch.full((2,), 3), torch.ones(2)
        batch = Batch(torch.zeros(0), labels, labels, ones, ones < 1, ones < 1, prior, progress)
        assert float(criterion(torch.zeros(2, 4), batch)) == pytest.approx(math.log(46 / 4))


def test_what_reads_numbers_of_images_reads_the_real_ones(fake_run):
    """Margins of LDAM, class weights, Remix and CMO: a full histogram would make all alike."""
    folder, split = write_generated(fake_run, label=3, count=30), fake_run.split()
    real = split.image_set("train", fake_run.path, 16)
    white = image_set(folder, active_rows(folder, split), split, 16)
    filled = MixtureSampler(real, white, "random", split.num_classes, USE)
    assert filled.counts.tolist() == [24, 12, 6, 4]
    torch.testing.assert_close(filled.foreground_prior(2.0), shares(1 / 24, 1 / 12, 1 / 6, 1 / 4))


def test_a_plan_says_of_head_classes_what_the_training_does(fake_run):
    job = TrainingJob(fake_run.path / "x", write_generated(fake_run, label=0, count=6))
    plan = use_of_generated(fake_run, job, TrainSettings(arch="tiny", size=16))
    assert "have 20% (square) to 20% (square) of the places" in plan  # 6 beside 24 real ones
