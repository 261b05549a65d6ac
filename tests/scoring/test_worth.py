"""Worth in real images: what is planted is found."""

import pytest
import torch

from tgn.probe.judge_classifier import fit_judge_classifier
from tgn.scoring.results import WorthScore
from tgn.scoring.worth import LabelledRows, worth_in_real_images

CLASSES, HEAD, DIMENSION = 8, 3, 32
REAL, HELD_OUT = 5, 60  # images of a tail class


@pytest.fixture(scope="module")
def means():
    return 0.9 * torch.randn(CLASSES, DIMENSION, generator=torch.Generator().manual_seed(1))


def sample(means, counts, seed):
    """Return features and labels of random images of the classes."""
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor(counts))
    rng = torch.Generator().manual_seed(seed)
    return means[labels] + 1.6 * torch.randn(len(labels), DIMENSION, generator=rng), labels


def tail(count):
    return [0] * HEAD + [count] * (CLASSES - HEAD)


@pytest.fixture(scope="module")
def worth(means):
    """Return a function from the features and labels of generated images to what they are worth."""
    real, real_labels = sample(means, [60] * HEAD + [REAL] * (CLASSES - HEAD), 2)
    held_out, held_out_labels = sample(means, tail(HELD_OUT), 3)
    judge = fit_judge_classifier(real, real_labels, CLASSES)

    def measure(features, labels):
        sets = ((real, real_labels), (features, labels), (held_out, held_out_labels))
        rows = [LabelledRows(judge.rows(table), own) for table, own in sets]
        return worth_in_real_images(judge, *rows, seed=0)

    measure.real, measure.labels = real, real_labels
    return measure


@pytest.mark.parametrize("count", [3, 10, 25])
def test_fresh_real_images_are_worth_about_their_number(worth, means, count):
    found = worth(*sample(means, tail(count), 10 + count))
    assert count / 2 < found.images_per_class < 2 * count
    assert found.images_low < count < found.images_high
    assert found.gain > 0
    assert "are worth about" in found.sentence
    assert (found.num_classes, found.num_held_out) == (5, 5 * HELD_OUT)
    curve = {point.images_per_class: point.gain for point in found.curve}
    assert [*curve] == [1, 2, 5, 10, 20, 40, 48]
    assert curve[48] > curve[5] > 0


def test_copies_are_worth_nothing(worth):
    rows = (worth.labels >= HEAD).nonzero().flatten().repeat(4)
    found = worth(worth.real[rows], worth.labels[rows])
    assert found.gain == pytest.approx(0, abs=1e-9)  # a class weighs what it weighed
    assert found.images_per_class == pytest.approx(0, abs=1e-6)
    assert "worth nothing: " in found.sentence


def test_images_of_other_classes_do_harm(worth, means):
    features, labels = sample(means, tail(40), 4)
    found = worth(features, (labels - HEAD + 1) % (CLASSES - HEAD) + HEAD)
    assert found.gain_high < 0
    assert (found.images_per_class, found.is_at_least) == (0, False)
    assert "worth nothing: -" in found.sentence


def test_more_than_the_curve_holds(worth, means):
    found = worth(*sample(means, tail(HELD_OUT), 3))  # the held-out images themselves
    assert (found.images_per_class, found.images_high) == pytest.approx((48, 48))
    assert found.is_at_least
    assert "at least 48 fresh real images" in found.sentence


def test_only_classes_with_held_out_images_are_measured(worth, means):
    features, labels = sample(means, [0] * HEAD + [10, 10, 0, 0, 0], 6)
    assert worth(features, labels).num_classes == 2
    features, labels = sample(means, [5] * HEAD + [0] * (CLASSES - HEAD), 7)
    assert "no class has both" in worth(features, labels)


def test_the_sentence_names_both_ends():
    found = WorthScore(
        images_per_class=6.4, images_low=2, images_high=40, most=40, is_at_least=False,
        gain=0.025, gain_low=0.01, gain_high=0.05, accuracy_real=0.7,
        accuracy_with_generated=0.725, curve=(), num_generated=100, num_held_out=200,
        num_classes=4, interval="",
    )  # fmt: skip
    assert found.sentence == (
        "these 100 images are worth about 6.4 fresh real images a class, 95%: 2 to more than 40 "
        "(+2.5 points, 95%: +1.0 to +5.0)"
    )
    large = {"images_per_class": 123.4, "images_low": 99.6, "images_high": 640, "most": 1280}
    large_one = found.model_copy(update=large)
    assert "about 123 fresh real images a class, 95%: 100 to 640 (" in large_one.sentence
    assert "at least 1280 " in large_one.model_copy(update={"is_at_least": True}).sentence
