"""The judge's figures during a training, of planted generators."""

from dataclasses import replace

import pytest
import torch
from tests_support import QUICK
from torch.nn import functional as F

from tgn.data.images import to_pm1
from tgn.generation.preview_yardstick import open_yardstick
from tgn.models import pretrained
from tgn.models.pretrained import IMAGENET, file_of
from tgn.models.training_networks import TrainingNetwork
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.training_loop import Job

MOBILENET = "mobilenetv2_100"


class Listener(Silent):
    """Keeps warnings and titles."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.lines.append(title)


@pytest.fixture
def opened(distilled):
    """Return a function that opens the yardstick of the run."""
    try:
        file_of(IMAGENET[MOBILENET])
    except UserError as error:
        pytest.skip(str(error))
    split, device = distilled.split(), Device(ComputeSettings(**QUICK))
    images = split.image_set("train", distilled.path, 32)

    def make(against=(), progress=None, images=images):
        job = Job(distilled.cdtg, device, progress or Silent())
        return open_yardstick(distilled, images, job, against, seed=0)

    make.images, make.split = images, split
    return make


def test_a_generator_that_returns_its_sources(opened):
    yardstick = opened()
    asked = []

    def sample(real_u8, label, ratio, random):
        asked.append((label, ratio, len(real_u8), float(torch.rand((), generator=random))))
        return to_pm1(real_u8)

    found = yardstick.figures(sample)
    for ratio in ("r0.4", "r1"):
        assert found[f"own_source_{ratio}"] == 1
        assert found[f"energy_{ratio}"] == pytest.approx(1, abs=0.2)
        assert 0 <= found[f"agreement_{ratio}"] <= 1
        assert found[f"recall_{ratio}"] > 0.5
    assert "separable_r1" not in found  # 4 and 6 images are all sources: nothing to compare with
    tail = [*opened.split.tail_classes]
    assert [one[:3] for one in asked] == [(k, r, 8) for r in (0.4, 1.0) for k in tail]
    assert yardstick.figures(sample) == found  # from fixed noise
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]


def test_a_generator_that_blurs_and_one_that_swaps_classes(opened):
    yardstick, images = opened(), opened.images

    def blurs(real_u8, label, ratio, random):
        return to_pm1(F.avg_pool2d(real_u8.float(), 5, 1, 2).byte())

    def swaps(real_u8, label, ratio, random):
        other = images.rows_of(label - 1)
        return to_pm1(images.batch(other[torch.arange(len(real_u8)) % len(other)]))

    assert yardstick.figures(blurs)["energy_r1"] < 0.5
    found = yardstick.figures(swaps)
    assert found["own_source_r1"] == 0
    assert found["agreement_r1"] < 0.2
    assert yardstick.figures(lambda real_u8, *_: to_pm1(real_u8))["agreement_r1"] > 0.5


def test_it_is_a_network_that_the_generator_does_not_know(opened):
    against = [TrainingNetwork("critic", IMAGENET[MOBILENET].sha256)]
    titles = []
    for networks in ((), against):
        progress = Listener()
        opened(networks, progress)
        titles += progress.lines
    assert titles == [
        f"features (imagenet/{MOBILENET})",
        "features (imagenet/tf_efficientnet_lite0)",
    ]
    again = Listener()
    opened((), again)
    assert again.lines == []  # features are kept for tgn score


def test_trained_on_the_tail_alone_it_still_knows_all_classes(opened):
    tail = opened.images.subset((opened.images.labels > 0).nonzero().flatten())
    yardstick = opened(images=tail)
    assert len(yardstick.features) == len(opened.images)
    assert len(yardstick.classifier.fit.head.bias) == opened.split.num_classes


def test_without_the_package_the_training_goes_on(opened, monkeypatch):
    gone = replace(IMAGENET[MOBILENET], module="no_such_module")
    monkeypatch.setitem(pretrained.IMAGENET, MOBILENET, gone)
    progress = Listener()
    assert opened((), progress) is None
    assert "no judge looks at this training" in progress.lines[0]
    assert "extractor=" not in progress.lines[0]  # no setting of a training
    assert "pip install" in progress.lines[0]
