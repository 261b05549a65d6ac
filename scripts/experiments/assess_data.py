"""The images of which ``assess_check.py`` draws its splits, and their features, computed once."""

from pathlib import Path
from typing import NamedTuple

import torch
from common import SPLITS, run, set_words, shared_data
from torch import Tensor
from vhr10 import chips

from tgn.data.image_set import ImageSet
from tgn.data.runs import Run, runs_root
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import frozen_networks, symmetric_views
from tgn.probe.settings import FeatureSettings
from tgn.runtime.console import TerminalProgress
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator
from tgn.runtime.settings import ComputeSettings

DATA = ("aid", "vhr10", "scenes")
TRAIN_CAP = 176  # images of a class: enough for 4 times 44
TEST_CAP = 200  # fewer would measure a gain of a few points to a point only
AID_TEST = 50
SCENES = ("profile=balanced", "size=64", f"largest={TRAIN_CAP}", f"test_per_class={TEST_CAP}")


class Pool(NamedTuple):
    """Features of the images of one data set.

    Attributes:
        train: [N, V, D], to draw training images from.
        train_labels: [N].
        test: [M, V, D], never trained on.
        test_labels: [M].
        parts: how many features each part has.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    parts: tuple[int, ...]


def pool(name: str, symmetries: int) -> Pool:
    """Return the images of a data set; its run is made if it is not there.

    Args:
        name: of :data:`DATA`.
        symmetries: views of an image.
    """
    made = made_run(name)
    split = made.split()
    settings = FeatureSettings(symmetries=symmetries)
    networks = frozen_networks(settings, [entry.folder for entry in split.classes])
    device = Device(ComputeSettings(device="cpu", precision="float32"))
    cache = FeatureCache(made.feature_cache, device, TerminalProgress())
    joined = split.model_copy(update={"train": (*split.train, *split.val)})
    train = _capped(joined.image_set("train", made.path, settings.size), TRAIN_CAP)
    test = _capped(split.image_set("test", made.path, settings.size), TEST_CAP)
    (train_views,) = symmetric_views(networks, train, settings, cache)
    (test_views,) = symmetric_views(networks, test, settings, cache)
    return Pool(train_views, train.labels, test_views, test.labels, networks[0].parts)


def made_run(name: str) -> Run:
    """Return the run of a data set; it is made if it is not there."""
    made = Run(runs_root() / f"assess-{name}")
    if made.record_file.is_file():
        return made
    words = ("--run", made.name)
    if name == "vhr10":
        run("tgn", "split", str(chips("vhr10")), *words, "--from", str(SPLITS / "vhr10_chips.csv"))
        return made
    data: Path = shared_data("aid64.zip") if name == "aid" else runs_root() / "assess-scenes-data"
    if name == "scenes" and not data.exists():
        run("tgn", "scenes", str(data), *set_words(*SCENES))
    held_out = [f"test_per_class={AID_TEST}"] if name == "aid" else []  # scenes have a test part
    rule = set_words("val_fraction=0", *held_out)
    run("tgn", "split", str(data), *words, *rule)
    return made


def _capped(images: ImageSet, cap: int) -> ImageSet:
    """Return at most ``cap`` images of each class, drawn at random."""
    kept = []
    for label in images.labels.unique().tolist():
        rows = images.rows_of(label)
        order = torch.randperm(len(rows), generator=generator("assess check", label))
        kept.append(rows[order[:cap]])
    return images.subset(torch.cat(kept).sort().values)
