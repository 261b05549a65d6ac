"""Where the teacher knows more, every method makes a better student than labels alone.

Planted: the teacher has seen a hundred noisy images of each class, the student sees three.
"""

import numpy as np
import pytest
import torch
from conftest import draw_shape
from torch import Tensor

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
from tgn.metrics.classification import confusion_matrix
from tgn.models.backbones import TappedNet, build_backbone
from tgn.models.inference import predictions
from tgn.runtime.devices import Device

CLASSES, SIZE, SEEDS, STEPS, NOISE = 4, 16, (0, 1, 2), 40, 90.0
BASE = {"arch": "tiny", "batch_size": 32, "size": SIZE, "device": "cpu", "precision": "float32"}
GROUPS = ("head", "middle", "tail", "tail")
METHODS = {
    "logit-kd": lambda inputs: LogitKd(inputs, LogitKdSettings(weight=0.9)),
    "feature-mse": lambda inputs: FeatureMse(inputs, FeatureMseSettings(weight=5)),
    "kmdn": lambda inputs: GroupedFeatureMse(inputs, GROUPS, FeatureMseSettings(weight=5)),
    "t2fts": lambda inputs: T2ftsStudent(inputs, GROUPS, T2ftsSettings(weight=5)),
    "lsh": lambda inputs: LshMimicking(inputs, LshSettings(num_hashes=256, weight=20)),
    "cross-modality": lambda inputs: CrossModality(inputs, 0.9, CrossModalitySettings()),
}
SLOW = ("feature-mse", "kmdn", "cross-modality")  # each is also tested in test_methods.py


def shapes(per_class: int, seed: int, noise: float) -> tuple[Tensor, Tensor]:
    """Return images_u8 [N, 3, S, S] and their classes [N]."""
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    drawn = [np.asarray(draw_shape(int(k), 100_000 * seed + i, SIZE)) for i, k in enumerate(labels)]
    images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
    spread = noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + spread).clamp(0, 255).byte(), labels


def image_set(images: Tensor, labels: Tensor) -> ImageSet:
    found = ImageSet([], [], SIZE)
    found.labels, found._cache, found._fits = labels, images, True
    found.files = [None] * len(labels)
    return found


def train(build, images: ImageSet, paired: ImageSet | None, teachers, seed: int, steps: int):
    settings = TrainSettings(**BASE, steps=steps, seed=seed, sampling="class-balanced")
    device = Device(settings)
    torch.manual_seed(seed)
    student: TappedNet = build_backbone(settings, tuple("abcd"))
    sampler = MixtureSampler(images, None, "class-balanced", 0.0, CLASSES, paired)
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
    net = train(plain, image_set(*shapes(100, 1, NOISE)), None, {}, seed=7, steps=120)
    noisy, clear = (image_set(*shapes(3, 2, noise)) for noise in (NOISE, NOISE / 4))
    return Teacher(net), noisy, clear, image_set(*shapes(60, 3, NOISE))


def accuracy(net: TappedNet, test: ImageSet) -> float:
    confusion = confusion_matrix(predictions(net, test, Device(TrainSettings(**BASE))))
    return float(confusion.diagonal().sum() / confusion.sum())


@pytest.fixture(scope="module")
def without(planted):
    _, noisy, _, test = planted
    return [accuracy(train(plain, noisy, None, {}, seed, STEPS), test) for seed in SEEDS]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in METHODS],
)
def test_a_teacher_that_knows_more_helps(planted, without, name):
    teacher, noisy, clear, test = planted
    grouped = name in ("kmdn", "t2fts")
    teachers = dict.fromkeys(GROUPS if grouped else ("teacher",), teacher)
    paired = clear if name == "cross-modality" else None
    scores = [
        accuracy(train(METHODS[name], noisy, paired, teachers, seed, STEPS), test) for seed in SEEDS
    ]
    assert np.mean(scores) > np.mean(without) + 0.01, (scores, without)
