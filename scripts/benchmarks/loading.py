#!/usr/bin/env -S .venv/bin/python
"""Does reading images slow training down? Ratios inside one run.

    scripts/benchmarks/loading.py --arch resnet18 --size 64

One training of `classify train` and one of `tgn distill`, each fed in three ways that take turns:
one batch held in memory, images decoded once and cached (what sets under 2 GiB get), images decoded
at every use (what larger sets get; in threads, while the step before is computed).
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine
from PIL import Image
from timing import seconds_of_steps
from torch import Tensor

from classify.losses.settings import LossSettings
from classify.methods.base import Method
from classify.training.criterion import LabelCriterion
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.image_set import ImageSet
from tgn.kmdn.schedule import NetName
from tgn.kmdn.settings import DistillSettings
from tgn.kmdn.trainer import KmdnTrainer
from tgn.models.backbones import TappedNet, build_backbone
from tgn.runtime.devices import Device

CLASSES, IMAGES, STEPS = 4, 512, 8
NAMES = tuple(f"class{k}" for k in range(CLASSES))


class Held(ImageSet):
    """Always the same batch: no reading, no picking of rows."""

    held: Tensor | None = None

    def batch(self, index: Tensor) -> Tensor:
        """Return what the first call returned, as many rows as are asked for."""
        if self.held is None or len(self.held) < len(index):
            self.held = super().batch(index)
        return self.held[: len(index)]


def write_images(folder: Path, side: int) -> list[Path]:
    """Write JPEGs that are as smooth as photographs are."""
    draw, files = np.random.default_rng(0), []
    for number in range(IMAGES):
        coarse = draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        files.append(folder / f"{number:04d}.jpg")
        picture.save(files[-1], quality=90)
    return files


def classifier(images: ImageSet, given: argparse.Namespace) -> Callable[[int], object]:
    """Return the step of `classify train`."""
    settings = TrainSettings(arch=given.arch, size=given.size, batch_size=given.batch)
    device = Device(settings)
    sampler = MixtureSampler(images, None, "class-balanced", CLASSES)
    student = device.place(build_backbone(settings, NAMES))
    method = Method(student, LabelCriterion("ce", "none", LossSettings(), sampler.counts))
    return ClassifierTrainer(method, sampler, settings, device).train_step


def kmdn(images: ImageSet, given: argparse.Namespace) -> Callable[[int], object]:
    """Return the step of `tgn distill`."""
    settings = DistillSettings(arch=given.arch, size=given.size, batch_size=given.batch)
    device = Device(settings)
    head, tail = (device.place(build_backbone(settings, NAMES)) for _ in range(2))
    nets: dict[NetName, TappedNet] = {"head_net": head, "tail_net": tail}
    return KmdnTrainer(nets, images, CLASSES // 2, settings, device).train_step


def main() -> None:
    """Time the three ways in turn for both trainings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--file-side", type=int, default=64, help="side of the files, in pixels")
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        files = write_images(Path(name), given.file_side)
        labels = [number % CLASSES for number in range(IMAGES)]
        sets = {
            "held": Held(files, labels, given.size),
            "cached": ImageSet(files, labels, given.size),
            "decoded": ImageSet(files, labels, given.size, cache_bytes=0),
        }
        for verb, make in (("classify train", classifier), ("tgn distill", kmdn)):
            steps = {way: make(images, given) for way, images in sets.items()}
            for step in steps.values():
                seconds_of_steps(step, range(STEPS))
            taken: dict[str, list[float]] = {way: [] for way in steps}
            for turn in range(1, given.turns + 1):
                for way, step in steps.items():
                    block = range(turn * STEPS, (turn + 1) * STEPS)
                    taken[way].append(seconds_of_steps(step, block))
            rate = STEPS * given.batch / statistics.median(taken["held"])
            parts = [
                f"{verb}, {given.arch}, {given.size} px, files of {given.file_side} px: "
                f"held {rate:.0f} images/s"
            ]
            for way in ("cached", "decoded"):
                ratios = [h / w for h, w in zip(taken["held"], taken[way], strict=True)]
                parts.append(f"{way} {statistics.median(ratios):.2f} of that")
            print("; ".join(parts))


if __name__ == "__main__":
    main()
