#!/usr/bin/env -S .venv/bin/python
"""Which precision and memory layout are fastest for a network? Milliseconds a batch, as a table.

    OMP_NUM_THREADS=1 scripts/benchmarks/precision.py --arch tf_efficientnet_lite0 mobilenetv2_100

Forward is inference; forward and backward is a training step without its optimiser. The variants
take turns and the least time of each counts, so that others on the machine disturb little.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from machine import machine
from torch import Tensor

from tgn.runtime.markdown import markdown_table

CLASSES = 30
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


@dataclass(frozen=True)
class Variant:
    """One way to compute."""

    bf16: bool
    layout: str
    compiled: bool

    def __str__(self) -> str:
        words = ["bf16" if self.bf16 else "float32", self.layout, "compiled" * self.compiled]
        return ", ".join(word for word in words if word)


def passes(arch: str, images: Tensor, variant: Variant) -> tuple[Callable[[], None], ...]:
    """Return the forward pass, and forward and backward, of a network with random weights."""
    layout = LAYOUTS[variant.layout]
    torch.manual_seed(0)
    net: Any = timm.create_model(arch, num_classes=CLASSES)
    net = net.to(images.device).to(memory_format=layout)
    placed = images.to(memory_format=layout)
    run: Any = torch.compile(net) if variant.compiled else net
    precision = torch.autocast(images.device.type, torch.bfloat16, enabled=variant.bf16)

    def forward() -> None:
        net.eval()
        with torch.inference_mode(), precision:
            run(placed)

    def both() -> None:
        net.train()
        with precision:
            logits = run(placed)
        logits.float().logsumexp(dim=1).mean().backward()

    return forward, both


def least_times(steps: list[Callable[[], None]], turns: int) -> list[float]:
    """Return the least seconds of each step; the first turn warms up."""
    times = [float("inf")] * len(steps)
    for turn in range(turns + 1):
        for place, step in enumerate(steps):
            started = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                times[place] = min(times[place], time.perf_counter() - started)
    return times


def main() -> None:
    """Time all variants and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", nargs="+", default=["tf_efficientnet_lite0", "mobilenetv2_100"])
    parser.add_argument("--size", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    compiled = (False, True) if given.compile else (False,)
    variants = list(itertools.starmap(Variant, itertools.product((False, True), LAYOUTS, compiled)))
    print(f"{machine()}; batch {given.batch}, ms: forward; forward and backward\n")
    header = [f"{arch}, {size} px" for arch in given.arch for size in given.size]
    columns = []
    for arch, size in itertools.product(given.arch, given.size):
        images = torch.randn(given.batch, 3, size, size, device=given.device)
        steps = [step for variant in variants for step in passes(arch, images, variant)]
        times = least_times(steps, given.turns)
        columns.append(list(zip(times[::2], times[1::2], strict=True)))
    rows = [
        [str(variant), *(f"{forward * 1e3:.3g}; {both * 1e3:.3g}" for forward, both in row)]
        for variant, row in zip(variants, zip(*columns, strict=True), strict=True)
    ]
    print(markdown_table(["precision, layout", *header], rows))


if __name__ == "__main__":
    main()
