"""The quick classifiers: what weighting the classes alike brings, and nothing else."""

import pytest
import torch
from torch.nn import functional as F

from tgn.assess.accuracy import PLAIN, WEIGHTED, accuracy_of, score_recipes
from tgn.assess.assess import _evidence
from tgn.assess.extrapolation import Extrapolation, Gain
from tgn.assess.features import AssessedImages, ImageTable
from tgn.runtime.progress import Silent
from tgn.runtime.seeds import generator

CLASSES, DIMENSION = 4, 12


def table(counts, part):
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor(counts))
    noise = torch.randn(len(labels), DIMENSION, generator=generator("quick", part))
    features = F.normalize(2 * torch.eye(CLASSES, DIMENSION)[labels] + noise, dim=1)
    return ImageTable(tuple(f"{part}/{i}.png" for i in range(len(labels))), labels, features)


def scored(counts):
    images = AssessedImages(table(counts, "train"), table([30] * 4, "test"), torch.zeros(1), (), {})
    return images, score_recipes(images, CLASSES, 0, Silent())


@pytest.mark.parametrize("part", ["left_out", "test"])
def test_weights_change_nothing_where_the_classes_are_of_one_size(part):
    _, fits = scored([20] * CLASSES)
    weighted, plain = (getattr(fits[name], part) for name in (WEIGHTED, PLAIN))
    scale = (weighted * plain).sum() / plain.square().sum()  # of the weighted: calibrated
    torch.testing.assert_close(weighted, scale * plain, rtol=1e-3, atol=1e-3 * float(scale))


def test_weights_help_a_rare_class():
    images, fits = scored([60, 60, 60, 6])
    rare = [
        accuracy_of(fits[name].test, images.test.labels, {"tail": [3]})["tail"]["accuracy"]
        for name in (WEIGHTED, PLAIN)
    ]
    assert rare[0] > rare[1] + 0.1


def test_the_gain_of_balancing_is_that_of_ridge_whatever_recipe_is_best():
    tails = {"prototypes": 0.9, WEIGHTED: 0.62, PLAIN: 0.6}
    result = {
        "accuracy": {k: {"left_out": {"tail": {"accuracy": v}}} for k, v in tails.items()},
        "best_recipe": "prototypes",
        "learning_curve": {"per_class": []},
        "doubtful_labels": {"share": 0.0},
        "test_images_known": 0,
    }
    future = Extrapolation(0.6, (Gain(4, 0.6, 0.0, 0.0, 0.0),), {}, {})
    assert _evidence(result, future).balance_gain == pytest.approx(0.02)
