#!/usr/bin/env -S .venv/bin/python
"""Is the overlap of rotated boxes 50 times as fast as a loop over shapely's polygons?

    scripts/benchmarks/rotated.py

All pairs of 1,000 and 1,000 boxes, spread over a large image and in one heap. The loop has its
polygons ready made and is timed on 100 of its 1,000 rows.
"""

import argparse
import statistics
import time

import torch
from machine import machine
from shapely.geometry import Polygon

from classify.detection.boxes.rotated import rotated_iou, to_corners

ROWS = 100


def random_boxes(count: int, reach: float, seed: int) -> torch.Tensor:
    """Boxes of 4 to 64 pixels a side with centres in a square of side ``reach``, [N, 5]."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.rand(count, 2, generator=draw) * reach
    sides = torch.rand(count, 2, generator=draw) * 60 + 4
    return torch.cat((centres, sides, torch.rand(count, 1, generator=draw) * 6), dim=1)


def shapely_loop(first: torch.Tensor, second: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Seconds that ROWS rows take, and what comes out."""
    a, b = ([Polygon(p) for p in to_corners(x.double()).tolist()] for x in (first, second))
    started = time.perf_counter()
    table = [[p.intersection(q).area / p.union(q).area for q in b] for p in a[:ROWS]]
    return time.perf_counter() - started, torch.tensor(table)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(machine())
    for name, reach in (("over 1024 pixels", 1024.0), ("in a heap", 30.0)):
        first, second = (random_boxes(given.count, reach, seed) for seed in (0, 1))
        ours = []
        for _ in range(given.repeats + 1):
            started = time.perf_counter()
            table = rotated_iou(first, second)
            ours.append(time.perf_counter() - started)
        taken = statistics.median(ours[1:])
        seconds, expected = shapely_loop(first, second)
        loop = seconds * given.count / ROWS
        error = float((table[:ROWS] - expected).abs().max())
        ratio = f"{loop / taken:.0f}x, differ by {error:.1e}"
        print(f"{name}: {taken:.3f} s, loop {loop:.1f} s, {ratio}")


if __name__ == "__main__":
    main()
