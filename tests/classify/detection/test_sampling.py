"""Sampling of training images with rare classes, against numbers worked out by hand."""

from pathlib import Path

import pytest
import torch

from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.sampling import (
    ImageSampling,
    class_balanced_probabilities,
    classes_present,
    repeat_factors,
)
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.settings.detector import DetectSettings

# Images with each class: 7, 2, 1 of 10.
LABELS = [[0], [0, 0], [0], [0], [0], [0, 1], [0], [], [], [1, 2]]


def dataset(labels=LABELS, crowds=()) -> DetectionDataset:
    images = []
    for row, own in enumerate(labels):
        count = len(own)
        crowd = torch.full((count,), row in crowds)
        images.append(
            DetectionImage(
                Path(f"{row}.png"),
                torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(count, 1),
                torch.tensor(own, dtype=torch.int64),
                torch.zeros(count, dtype=torch.bool),
                crowd,
            )
        )
    return DetectionDataset(("a", "b", "c"), tuple(images))


def test_repeat_factors_are_those_of_lvis():
    # f = 0.7, 0.2, 0.1; t = 0.4: r = 1, sqrt(2), 2; an image has the largest of its classes.
    factors = repeat_factors(classes_present(dataset()), threshold=0.4)
    expected = [1, 1, 1, 1, 1, 2**0.5, 1, 1, 1, 2]
    torch.testing.assert_close(factors, torch.tensor(expected, dtype=torch.float64))


def test_class_balanced_draws_a_class_then_an_image_and_keeps_the_share_of_empty_ones():
    found = class_balanced_probabilities(classes_present(dataset()))
    of_a, of_b, of_c = 1 / 7, 1 / 2, 1  # images with the class: 7, 2, 1
    expected = [of_a / 3] * 5 + [(of_a + of_b) / 3, of_a / 3] + [0, 0] + [(of_b + of_c) / 3]
    expected = [0.8 * value for value in expected]
    expected[7] = expected[8] = 0.1
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert found.sum() == pytest.approx(1)


def test_crowds_are_no_objects():
    assert classes_present(dataset(crowds=(9,)))[9].tolist() == [False] * 3


@pytest.mark.parametrize("sampling", ["repeat-factor", "class-balanced"])
def test_rows_follow_the_probabilities_and_depend_on_seed_and_step_alone(sampling):
    more = {"repeat_threshold": 0.4} if sampling == "repeat-factor" else {}
    settings = DetectSettings(sampling=sampling, batch_size=500, **more)
    samples = TrainingSamples(dataset(), settings)
    rows = torch.cat([samples.rows(step) for step in range(20)])
    found = torch.bincount(rows, minlength=10) / len(rows)
    assert (found - samples.sampling.probabilities).abs().max() < 0.015  # 3 standard deviations
    again = TrainingSamples(dataset(), settings)
    assert torch.equal(again.rows(7), samples.rows(7))
    assert not torch.equal(samples.rows(7), samples.rows(8))


def test_how_often_classes_are_seen_is_said():
    settings = DetectSettings(sampling="repeat-factor", repeat_threshold=0.4)
    sum_r = 8 + 2**0.5 + 2
    factors = [10 * (6 + 2**0.5) / sum_r / 7, 10 * (2**0.5 + 2) / sum_r / 2, 10 * 2 / sum_r]
    words = ImageSampling(dataset(), settings).in_words()
    counts = zip("abc", (7, 2, 1), factors, strict=True)
    assert ", ".join(f"{name} ({count}) x{value:.2f}" for name, count, value in counts) in words
    plain = settings.model_copy(update={"repeat_threshold": 0.001})
    assert "below which no class is" in ImageSampling(dataset(), plain).in_words()
