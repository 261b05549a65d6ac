#!/usr/bin/env -S .venv/bin/python
"""What does our training step of detectors cost beside torchvision's? Ratios inside one run.

    scripts/benchmarks/detection.py --size 320 --blocks 5

The other side is torchvision's own detector over the same backbone, in a bare loop that decodes the
same files, flips them and does the same optimisation. The rotated detector is compared with our
RetinaNet of upright boxes. Blocks of steps take turns; ratios are medians over blocks.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from PIL import Image
from timing import seconds_of_steps
from torchvision.io import decode_image
from torchvision.models.detection import FasterRCNN, RetinaNet

from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.distill.base import DetectionTask
from classify.detection.models.backbones import PyramidForm, build_pyramid
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.settings.detector import DetectSettings
from classify.detection.settings.head import DetectorName
from classify.detection.training.trainer import DetectorTrainer
from tgn.runtime.devices import Device

CLASSES = tuple(f"class {k}" for k in range(10))
IMAGES, OBJECTS = 32, 8
Step = Callable[[int], object]


def made_images(folder: Path, size: int, rotated: bool) -> DetectionDataset:
    """Write pictures of noise with boxes."""
    draw, none = torch.Generator().manual_seed(0), torch.zeros(OBJECTS, dtype=torch.bool)
    images = []
    for number in range(IMAGES):
        path = folder / f"{number}.png"
        pixels = torch.randint(256, (size, size, 3), generator=draw, dtype=torch.uint8)
        Image.fromarray(np.asarray(pixels)).save(path)
        corner = torch.rand(OBJECTS, 2, generator=draw) * size * 0.7
        sides = (0.05 + 0.2 * torch.rand(OBJECTS, 2, generator=draw)) * size
        turned = torch.cat((corner + sides / 2, sides, torch.rand(OBJECTS, 1, generator=draw)), 1)
        boxes = turned if rotated else torch.cat((corner, corner + sides), dim=1)
        labels = torch.randint(len(CLASSES), (OBJECTS,), generator=draw)
        images.append(DetectionImage(path, boxes, labels, none, none))
    return DetectionDataset(CLASSES, tuple(images))


def our_loop(detector: DetectorName, data: DetectionDataset, given: argparse.Namespace) -> Step:
    """Return one step of ``classify detect train``."""
    settings = settings_of(detector, given)
    device = Device(settings)
    spec = DetectorSpec(detector, given.backbone, CLASSES, given.size, frozen_norm=True)
    net = device.place(build_detector(spec._replace(fpn_channels=given.width)))
    return DetectorTrainer(DetectionTask(net), data, settings, device).train_step


def settings_of(detector: DetectorName, given: argparse.Namespace) -> DetectSettings:
    """Return the settings of both loops."""
    return DetectSettings(
        detector=detector,
        backbone=given.backbone,
        size=given.size,
        batch_size=given.batch,
        steps=10_000,
        flips="horizontal",
        precision="float32",
    )


def bare_loop(detector: DetectorName, data: DetectionDataset, given: argparse.Namespace) -> Step:
    """Return one step of the plainest training of torchvision's own detector."""
    is_dense = detector != "faster-rcnn"
    form = PyramidForm(given.width, is_dense, finest=8 if is_dense else 4)
    pyramid = build_pyramid(given.backbone, form, frozen_norm=True)
    sides = {"min_size": given.size, "max_size": given.size}
    build: Any = FasterRCNN if detector == "faster-rcnn" else RetinaNet
    count = len(CLASSES) + (detector == "faster-rcnn")
    more = {}
    if detector == "faster-rcnn":  # ours has the candidates of feature mimicking's release
        more = {"rpn_pre_nms_top_n_train": 4000, "rpn_pre_nms_top_n_test": 2000}
    net = build(pyramid, count, **sides, **more).to(
        Device(settings_of(detector, given)).torch_device
    )
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    shift = int(detector == "faster-rcnn")
    where = next(net.parameters()).device

    def step(number: int) -> None:
        torch.manual_seed(number)
        images, targets = [], []
        for row in torch.randint(IMAGES, (given.batch,)).tolist():
            one = data.images[row]
            image, boxes = decode_image(str(one.path)).to(where), one.boxes.to(where)
            if torch.rand(()) < 0.5:
                image = image.flip(2)
                boxes = boxes[:, [2, 1, 0, 3]] * boxes.new_tensor([-1, 1, -1, 1])
                boxes = boxes + boxes.new_tensor([given.size, 0, given.size, 0])
            images.append(image.float() / 255)
            targets.append({"boxes": boxes, "labels": (one.labels + shift).to(where)})
        loss = sum(net.train()(images, targets).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()

    return step


def ratio(first: Step, second: Step, given: argparse.Namespace) -> tuple[float, float, float]:
    """Return median, smallest and largest ratio of blocks that take turns."""
    found, at = [], 0
    for step in (first, second):
        seconds_of_steps(step, range(2))
    for _ in range(given.blocks):
        steps = range(at, at + given.steps)
        found.append(seconds_of_steps(first, steps) / seconds_of_steps(second, steps))
        at += given.steps
    return statistics.median(found), min(found), max(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=5)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as upright, tempfile.TemporaryDirectory() as rotated:
        data = made_images(Path(upright), given.size, rotated=False)
        turned = made_images(Path(rotated), given.size, rotated=True)
        for name in ("faster-rcnn", "retinanet"):
            pair = our_loop(name, data, given), bare_loop(name, data, given)
            show(f"{name}, ours / torchvision's", ratio(*pair, given))
        pair = our_loop("rotated-retinanet", turned, given), our_loop("retinanet", data, given)
        show("rotated-retinanet / retinanet", ratio(*pair, given))


def show(what: str, found: tuple[float, float, float]) -> None:
    """Print one line."""
    middle, least, most = found
    print(f"{what}: {middle:.2f} ({least:.2f} to {most:.2f})")


if __name__ == "__main__":
    main()
