"""Where the teacher knows more, every method makes a better student than labels alone.

Planted: the teacher has seen a hundred noisy images of each class, the student sees three.
"""

import numpy as np
import pytest
from planted_support import BASE, CLASSES, balanced_accuracy, image_set, shapes, tiny_net

from classify.losses.settings import LossSettings
from classify.methods.base import Method, Teacher
from classify.methods.cross_modality import CrossModality
from classify.methods.feature_mse import FeatureMse, GroupedFeatureMse
from classify.methods.logit_kd import LogitKd
from classify.methods.lsh import LshMimicking
from classify.methods.phases import MethodInputs
from classify.methods.settings import (
    CrossModalitySettings,
    FeatureMseSettings,
    LogitKdSettings,
    LshSettings,
    T2ftsSettings,
)
from classify.methods.t2fts import T2ftsStudent
from classify.training.criterion import LabelCriterion
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.image_set import ImageSet
from tgn.runtime.devices import Device

SEEDS, STEPS, NOISE = (0, 1), 40, 90.0
GROUPS = ("head", "middle", "tail", "tail")
METHODS = {
    "logit-kd": lambda inputs: LogitKd(inputs, LogitKdSettings(weight=0.9)),
    "feature-mse": lambda inputs: FeatureMse(inputs, FeatureMseSettings(weight=5)),
    "kmdn": lambda inputs: GroupedFeatureMse(inputs, GROUPS, FeatureMseSettings(weight=5)),
    "t2fts": lambda inputs: T2ftsStudent(inputs, GROUPS, T2ftsSettings(weight=5)),
    "lsh": lambda inputs: LshMimicking(inputs, LshSettings(num_hashes=256, weight=20)),
    "cross-modality": lambda inputs: CrossModality(inputs, 0.9, CrossModalitySettings()),
}


def train(build, images: ImageSet, paired: ImageSet | None, teachers, seed: int, steps: int):
    settings = TrainSettings(**BASE, steps=steps, seed=seed, sampling="class-balanced")
    device = Device(settings)
    student = tiny_net(seed)
    sampler = MixtureSampler(images, None, "class-balanced", CLASSES, paired=paired)
    criterion = LabelCriterion("ce", "none", LossSettings(), sampler.counts)
    inputs = MethodInputs(student, criterion, teachers, sampler.counts, images, None, device, seed)
    trainer = ClassifierTrainer(build(inputs), sampler, settings, device)
    for step in range(steps):
        trainer.train_step(step)
    return trainer.result()


def plain(inputs: MethodInputs) -> Method:
    return Method(inputs.student, inputs.criterion)


@pytest.fixture(scope="module")
def planted():
    """The teacher, the student's images, the same by a better sensor, and the test images."""
    net = train(plain, image_set(*shapes((100,) * CLASSES, 1, NOISE)), None, {}, seed=7, steps=120)
    noisy, clear = (image_set(*shapes((3,) * CLASSES, 2, noise)) for noise in (NOISE, NOISE / 4))
    return Teacher(net), noisy, clear, image_set(*shapes((60,) * CLASSES, 3, NOISE))


@pytest.fixture(scope="module")
def without(planted):
    _, noisy, _, test = planted
    return [balanced_accuracy(train(plain, noisy, None, {}, seed, STEPS), test) for seed in SEEDS]


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_that_knows_more_helps(planted, without, name):
    teacher, noisy, clear, test = planted
    grouped = name in ("kmdn", "t2fts")
    teachers = dict.fromkeys(GROUPS if grouped else ("teacher",), teacher)
    paired = clear if name == "cross-modality" else None
    scores = [
        balanced_accuracy(train(METHODS[name], noisy, paired, teachers, seed, STEPS), test)
        for seed in SEEDS
    ]
    assert np.mean(scores) > np.mean(without) + 0.03, (scores, without)
