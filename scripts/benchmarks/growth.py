#!/usr/bin/env -S .venv/bin/python
"""What do time and memory grow with, verb by verb? The built-in data at 1, 2, 4 and 8 times a size.

    scripts/benchmarks/growth.py

Trainings take the same number of steps at every size. Drawn are four images for each real one of
the tail. Every verb runs in a process of its own, start-up included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine

from tgn.data.runs import find_run
from tgn.runtime.markdown import markdown_row, markdown_table

TINY = ("--set", "arch=tiny", "--set", "size=32")
LARGEST = 180  # training images of the largest class at size 1; the demo's has 200
VERBS = {
    "scenes": ["tgn", "scenes", "data"],
    "split": ["tgn", "split", "data"],
    "distill": ["tgn", "distill", *TINY, "--set", "steps=60", "--set", "batch_size=64"],
    "train": ["tgn", "train", "--set", "steps=20", "--set", "clip_steps=20"],
    "generate": ["tgn", "generate", "--class", "all"],
    "score": ["tgn", "score"],
    "classify train": ["classify", "train", "--augmented", *TINY, "--set", "steps=60"],
}


def cost(command: list[str], folder: Path) -> tuple[float, int]:
    """Run a command; return its seconds and its peak memory in MiB."""
    environment = {**os.environ, "TGN_RUNS": str(folder / "runs")}
    started = time.perf_counter()
    running = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    errors = running.stderr.read() if running.stderr else b""
    _, status, used = os.wait4(running.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {errors.decode()[-500:]}")
    return time.perf_counter() - started, used.ru_maxrss >> 10


def arguments(verb: str, factor: int, folder: Path) -> list[str]:
    """Return the command of a verb at a size."""
    if verb == "scenes":
        return [*VERBS[verb], "--set", f"largest={LARGEST * factor}"]
    if verb != "generate":
        return VERBS[verb]
    os.environ["TGN_RUNS"] = str(folder / "runs")
    split = find_run(None).split()
    tail = sum(split.counts[label] for label in split.tail_classes)
    return [*VERBS[verb], "--n", str(4 * tail // len(split.tail_classes))]


def main() -> None:
    """Print a table: seconds and MiB of every verb at every size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    print(machine())
    print(markdown_table(["size", *VERBS]))
    for factor in given.factors:
        with tempfile.TemporaryDirectory() as name:
            folder, cells = Path(name), []
            for verb in VERBS:
                seconds, memory = cost(arguments(verb, factor, folder), folder)
                cells.append(f"{seconds:.0f} s, {memory} MiB")
            images = sum(1 for _ in (folder / "data").rglob("*.png"))
        print(markdown_row([f"{factor}x: {images} images", *cells]), flush=True)


if __name__ == "__main__":
    main()
