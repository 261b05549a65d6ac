#!/usr/bin/env -S .venv/bin/python
"""Does the loop of classifiers cost anything beside the network? A ratio inside one run.

    scripts/benchmarks/classification.py --arch tiny --size 32

The other side is a bare torch loop with the same network, batches, augmentation and optimiser, but
no method, no averaged weights, no schedule. Medians over blocks of steps that take turns.
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from machine import machine
from timing import seconds_of_steps
from torch.nn import functional as F

from classify.losses.settings import LossSettings
from classify.methods.base import Method
from classify.training.criterion import LabelCriterion
from classify.training.optimiser import build_optimizer
from classify.training.sampling import BatchRequest, MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.augmentation import augment, draw_augmentation
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models.backbones import build_backbone
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator

CLASSES, IMAGES, BLOCK = 10, 2000, 20


class InMemory(ImageSet):
    """Random bytes, decoded once."""

    def __init__(self, size: int) -> None:
        super().__init__([], [], size)
        self.labels = torch.arange(IMAGES) % CLASSES
        self._cache = torch.randint(256, (IMAGES, 3, size, size), dtype=torch.uint8)


def bare_loop(
    sampler: MixtureSampler, settings: TrainSettings, device: Device
) -> Callable[[int], None]:
    """Return one step of the plainest training that does the same work."""
    net = device.place(build_backbone(settings, tuple(map(str, range(CLASSES)))))
    optimizer = build_optimizer(Method(net, lambda logits, batch: logits.sum()), settings)

    def step(number: int) -> None:
        sampled = sampler.batch(BatchRequest(settings.batch_size, settings.seed, number))
        draw = generator(settings.seed, "bare", number)
        augmentation = draw_augmentation(len(sampled.labels), draw)
        images = augment(to_pm1(device.put(sampled.images_u8)), augmentation)
        with device.autocast():
            logits = net(images).logits
        loss = F.cross_entropy(logits.float(), sampled.labels.to(images.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Time both loops in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=7)
    given = parser.parse_args()
    torch.manual_seed(0)
    settings = TrainSettings(arch=given.arch, size=given.size, batch_size=given.batch).resolved()
    device = Device(settings)
    sampler = MixtureSampler(InMemory(given.size), None, "class-balanced", 0.0, CLASSES)
    student = device.place(build_backbone(settings, tuple(map(str, range(CLASSES)))))
    criterion = LabelCriterion("ce", "none", LossSettings(), sampler.counts)
    trainer = ClassifierTrainer(Method(student, criterion), sampler, settings, device)
    bare = bare_loop(sampler, settings, device)
    ratios, rates = [], []
    for block in range(given.blocks + 1):
        steps = range(block * BLOCK, (block + 1) * BLOCK)
        ours, theirs = (seconds_of_steps(step, steps) for step in (trainer.train_step, bare))
        if block == 0:  # warms up
            continue
        ratios.append(theirs / ours)
        rates.append(BLOCK * given.batch / ours)
    print(machine())
    print(
        f"{given.arch} at {given.size} px, batch {given.batch}: {statistics.median(rates):.0f} "
        f"images/s; ratio to the bare loop {statistics.median(ratios):.3f}"
    )


if __name__ == "__main__":
    main()
