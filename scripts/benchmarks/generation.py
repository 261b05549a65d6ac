#!/usr/bin/env -S .venv/bin/python
"""How much faster is `tgn generate` than the textbook way? A ratio inside one run.

    scripts/benchmarks/generation.py --size 64      (or 256)

Both sides draw images of the same network and write them as files. The textbook's: one image at a
time, weights scaled for each image in a grouped convolution, filters as convolutions, float32.
They take turns, each in a process of its own; medians over the turns. Loading the weights and, with
--compile, compiling are counted, the start of Python is not.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from apart import apart
from machine import machine
from made_up import made_up_run
from textbook import textbook

from tgn.backends import generate
from tgn.data.images import encode_image
from tgn.data.runs import Run
from tgn.generation.cdtg.sampler import open_cdtg_sampler
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.generate import GenerationRequest
from tgn.runtime.progress import Silent

CLASS = 3  # a tail class


def rate(run: Run, out: Path, settings: CdtgSampleSettings, plain: bool) -> float:
    """Return images a second of one call of the verb."""
    started = time.perf_counter()
    with textbook() if plain else nullcontext():
        generate(run, GenerationRequest((CLASS,), out, settings), Silent())
    return (settings.n or 0) / (time.perf_counter() - started)


def parts(run: Run, settings: CdtgSampleSettings) -> str:
    """Return where the time of a block goes: arithmetic, and encoding in one thread."""
    sampler = open_cdtg_sampler(run, settings)
    sampler.sample_block(CLASS, 0, settings)
    started = time.perf_counter()
    images, _ = sampler.sample_block(CLASS, 1, settings)
    generated = time.perf_counter()
    for image in images:
        encode_image(image, "png")
    encoded = time.perf_counter()
    return (
        f"sampling alone {len(images) / (generated - started):.1f} images/s, "
        f"png in one thread {len(images) / (encoded - generated):.0f} images/s"
    )


def main() -> None:
    """Time both ways in turn and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, help="of images in pixels")
    parser.add_argument("--width", type=int, default=96, help="of the generator")
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--images", type=int, default=512, help="ours, a turn")
    parser.add_argument("--plain-images", type=int, default=24, help="the textbook's, a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile")
    given = parser.parse_args()
    fast = CdtgSampleSettings(n=given.images, block=given.block, compile=given.compile)
    plain = CdtgSampleSettings(n=given.plain_images, block=1, precision="float32")
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        run = made_up_run(Path(name), given.size, given.width)
        for turn in range(given.turns):
            ours.append(apart(rate, run, Path(name) / f"fast{turn}", fast, False))
            theirs.append(apart(rate, run, Path(name) / f"plain{turn}", plain, True))
        shares = apart(parts, run, fast)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    print(machine())
    print(
        f"{given.size} px, width {given.width}, {given.images} images to files"
        f"{', compiled' * given.compile}: "
        f"textbook {statistics.median(theirs):.2f} images/s, ours in blocks of {given.block} "
        f"{statistics.median(ours):.1f} images/s; ratio {statistics.median(ratios):.1f} "
        f"({min(ratios):.1f} to {max(ratios):.1f}); {shares}"
    )


if __name__ == "__main__":
    main()
