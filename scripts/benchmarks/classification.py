#!/usr/bin/env -S .venv/bin/python
"""Does the loop of classifiers cost anything beside the network? A ratio inside one run.

    scripts/benchmarks/classification.py --arch tiny --size 32
    scripts/benchmarks/classification.py --arch tf_efficientnet_lite0 --batch 32 --freeze 3

The other side is a bare torch loop with the same network (pretrained where ours is), batches,
augmentation and optimiser, but no method, no averaged weights, no schedule. With ``--freeze``
a second ratio is of our loop with that many frozen stages to our loop without. Blocks of steps
take turns; ratios are medians over blocks.
"""

import argparse
import statistics
import time
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

CLASSES, IMAGES = 10, 2000
FOLDERS = tuple(map(str, range(CLASSES)))
Step = Callable[[int], object]


class InMemory(ImageSet):
    """Random bytes, decoded once."""

    def __init__(self, size: int) -> None:
        super().__init__([], [], size)
        self.labels = torch.arange(IMAGES) % CLASSES
        self._cache = torch.randint(256, (IMAGES, 3, size, size), dtype=torch.uint8)


def our_loop(sampler: MixtureSampler, settings: TrainSettings, device: Device) -> Step:
    """Return one step of `classify train`."""
    student = device.place(build_backbone(settings, FOLDERS))
    criterion = LabelCriterion("ce", "none", LossSettings(), sampler.counts)
    return ClassifierTrainer(Method(student, criterion), sampler, settings, device).train_step


def bare_loop(sampler: MixtureSampler, settings: TrainSettings, device: Device) -> Step:
    """Return one step of the plainest training that does the same work."""
    net = device.place(build_backbone(settings, FOLDERS))
    optimizer = build_optimizer(Method(net, lambda logits, batch: logits.sum()), settings)

    def step(number: int) -> None:
        net.train()
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


def build_loops(given: argparse.Namespace) -> dict[str, Step]:
    """Build the loops that are timed, by name."""
    chosen = TrainSettings(arch=given.arch, size=given.size, batch_size=given.batch)
    settings, device = chosen.resolved(), Device(chosen)
    sampler = MixtureSampler(InMemory(given.size), None, "class-balanced", CLASSES)
    loops = {name: make(sampler, settings, device) for name, make in MAKERS.items()}
    if given.freeze:
        frozen = chosen.with_changes({"freeze_stages": given.freeze}).resolved()
        loops["frozen"] = our_loop(sampler, frozen, device)
    return loops


def main() -> None:
    """Time the loops in turn and print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="tiny")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20, help="of a block")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--freeze", type=int, default=0, help="stages; 0: no such loop")
    parser.add_argument("--cpu-time", action="store_true", help="for one thread beside others")
    given = parser.parse_args()
    clock = time.process_time if given.cpu_time else time.perf_counter
    torch.manual_seed(0)
    loops = build_loops(given)
    times: dict[str, list[float]] = {name: [] for name in loops}
    for block in range(given.blocks + 1):
        steps = range(block * given.steps, (block + 1) * given.steps)
        for name, loop in loops.items():
            taken = seconds_of_steps(loop, steps, clock)
            if block:  # the first warms up
                times[name].append(taken)
    rate = given.steps * given.batch / statistics.median(times["ours"])
    print(machine())
    print(f"{given.arch} at {given.size} px, batch {given.batch}: {rate:.1f} images/s")
    for other in [name for name in loops if name != "ours"]:
        ratios = [a / b for a, b in zip(times[other], times["ours"], strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(f"seconds of {other} over ours: {middle:.3f} ({low:.3f} to {high:.3f})")


MAKERS: dict[str, Callable[[MixtureSampler, TrainSettings, Device], Step]] = {
    "ours": our_loop,
    "bare": bare_loop,
}

if __name__ == "__main__":
    main()
