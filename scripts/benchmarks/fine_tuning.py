#!/usr/bin/env -S .venv/bin/python
"""Does fine-tuning cost anything beside the network? A ratio inside one run.

    scripts/benchmarks/fine_tuning.py --size 64
    scripts/benchmarks/fine_tuning.py --size 128 --freeze 3

The other side is a bare torch loop with the same pretrained network, precision, layout, batches,
augmentation and AdamW, but no method, no averaged weights and no schedule. With ``--freeze`` the
second ratio is of our loop with that many frozen stages to our loop without. Blocks of steps take
turns; ratios are medians of pairs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from machine import machine
from torch.nn import functional as F

from classify.losses.settings import LossSettings
from classify.methods.base import Method
from classify.training.criterion import LabelCriterion
from classify.training.sampling import BatchRequest, MixtureSampler
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.augmentation import augment, draw_augmentation
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models.backbones import build_backbone
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator

CLASSES, IMAGES = 20, 500
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
    """Return one step of the plainest fine-tuning that does the same work."""
    net = device.place(build_backbone(settings, FOLDERS))
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)

    def step(number: int) -> None:
        net.train()
        sampled = sampler.batch(BatchRequest(settings.batch_size, settings.seed, number))
        changes = draw_augmentation(len(sampled.labels), generator(settings.seed, "bare", number))
        images = augment(to_pm1(device.put(sampled.images_u8)), changes)
        with device.autocast():
            logits = net(images).logits
        loss = F.cross_entropy(logits.float(), sampled.labels.to(images.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def seconds(step: Step, first: int, steps: int, clock: Callable[[], float]) -> float:
    """Return how long a block of steps takes."""
    started = clock()
    for number in range(first, first + steps):
        step(number)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - started


def main() -> None:
    """Time the loops in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="of a block")
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--freeze", type=int, default=0)
    parser.add_argument("--cpu-time", action="store_true", help="for one thread beside others")
    given = parser.parse_args()
    clock = time.process_time if given.cpu_time else time.perf_counter
    torch.manual_seed(0)
    settings = TrainSettings(arch=given.arch, size=given.size, batch_size=given.batch)
    device = Device(settings)
    sampler = MixtureSampler(InMemory(given.size), None, "class-balanced", 0.0, CLASSES)
    loops = {name: make(sampler, settings, device) for name, make in MAKERS.items()}
    if given.freeze:
        frozen = settings.with_changes({"freeze_stages": given.freeze})
        loops["frozen"] = our_loop(sampler, frozen, device)
    for loop in loops.values():
        seconds(loop, 0, 2, clock)
    times: dict[str, list[float]] = {name: [] for name in loops}
    for block in range(1, given.blocks + 1):
        for name, loop in loops.items():
            times[name].append(seconds(loop, block * given.steps, given.steps, clock))
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
