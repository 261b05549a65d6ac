"""On a planted long tail, every recipe for rare classes beats cross-entropy.

Planted: noisy shapes, 60, 30, 6 and 3 training images a class; the test images are balanced.
"""

import numpy as np
import pytest
from planted_support import BASE, CLASSES, balanced_accuracy, image_set, shapes, tiny_net

from classify.methods.phases import MethodInputs, RunFacts
from classify.training.context import phase_settings
from classify.training.criterion import label_criterion
from classify.training.method_phases import phases_of
from classify.training.recipes import recipe
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.runtime.devices import Device

COUNTS, SEEDS, STEPS, NOISE = (60, 30, 6, 3), (0, 1), 60, 60.0
FACTS = RunFacts(COUNTS, 2, None, None, None)


def train(net, phase, settings, images):
    """Train one phase of a recipe, as train.py does."""
    settings, device = phase_settings(settings, phase), Device(settings)
    sampler = MixtureSampler(images, None, settings.sampling, CLASSES)
    criterion = label_criterion(settings, sampler.counts)
    seed = settings.seed
    inputs = MethodInputs(net, criterion, {}, sampler.counts, images, None, device, seed)
    trainer = ClassifierTrainer(phase.build(inputs), sampler, settings, device)
    for step in range(settings.steps):
        trainer.train_step(step)
    return trainer.result()


def result(name, images, seed):
    settings = TrainSettings(**BASE, steps=STEPS, seed=seed)
    settings = settings.with_changes(recipe(name).settings).resolved()
    net = tiny_net(seed)
    for phase in phases_of(settings, FACTS):
        net = train(net.requires_grad_(True), phase, settings, images)
    return net


@pytest.fixture(scope="module")
def images():
    return image_set(*shapes(COUNTS, 1, NOISE))


@pytest.fixture(scope="module")
def test_images():
    return image_set(*shapes((60,) * CLASSES, 2, NOISE))


@pytest.fixture(scope="module")
def without(images, test_images):
    return [balanced_accuracy(result("ce", images, seed), test_images) for seed in SEEDS]


@pytest.mark.parametrize(
    "name", ["cmo", "balanced-softmax+cmo", "balance-0.5", "los", "weight-balancing"]
)
def test_a_recipe_beats_cross_entropy(images, test_images, without, name):
    scores = [balanced_accuracy(result(name, images, seed), test_images) for seed in SEEDS]
    assert np.mean(scores) > np.mean(without) + 0.03, (scores, without)
