#!/usr/bin/env -S .venv/bin/python
"""How fast can tiles of large images be read for a detector? Batches made at the same time.

    scripts/benchmarks/tiles.py --side 4000

Batches of two tiles of 1,024 px, as `classify detect train` reads them beside a GPU: each tile
means that a whole PNG is decoded. Ratios are of seconds within a turn; more threads than cores give
no more.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from machine import machine
from PIL import Image
from timing import seconds_of_steps

from classify.detection.data.dataset import DetectionDataset, DetectionImage, cut_into_tiles
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.settings.detector import DetectSettings
from tgn.data.batches import Prefetcher

IMAGES, TILE, BATCH = 4, 1024, 2
STEPS = 16
WAYS = (1, 2, 4, 8)


def tiles_of_pictures(folder: Path, side: int) -> DetectionDataset:
    """Write images about as compressible as photographs, each with objects all over it."""
    draw, images = np.random.default_rng(0), []
    for number in range(IMAGES):
        coarse = draw.integers(0, 240, (side // 16 + 1, side // 16 + 1, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        noise = draw.integers(0, 8, (side, side, 3), dtype=np.uint8)
        file = folder / f"{number}.png"
        Image.fromarray(np.minimum(smooth, 247) + noise).save(file, compress_level=1)
        corner = torch.rand(400, 2) * (side - 40)
        boxes = torch.cat((corner, corner + 32), dim=1)
        none = torch.zeros(len(boxes), dtype=torch.bool)
        images.append(DetectionImage(file, boxes, none.long(), none, none))
    return cut_into_tiles(DetectionDataset(("ship",), tuple(images)), TILE, 0.2)


def main() -> None:
    """Print the seconds of a batch, and how much less they are with more threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4000, help="of the images, in pixels")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    print(machine())
    settings = DetectSettings(tile_size=TILE, batch_size=BATCH, steps=STEPS)
    with tempfile.TemporaryDirectory() as name:
        samples = TrainingSamples(tiles_of_pictures(Path(name), given.side), settings)
        taken: dict[int, list[float]] = {way: [] for way in WAYS}
        for _ in range(given.turns):
            for way in WAYS:
                read = Prefetcher(
                    lambda step: samples.batch(step, list(range(BATCH))), STEPS, ahead=way
                )
                taken[way].append(seconds_of_steps(read, range(STEPS)) / STEPS)
    for way in WAYS:
        ratios = [one / more for one, more in zip(taken[WAYS[0]], taken[way], strict=True)]
        print(
            f"{way} at a time: {statistics.median(taken[way]):.2f} s a batch of {BATCH} tiles, "
            f"{statistics.median(ratios):.2f} times as fast as one"
        )


if __name__ == "__main__":
    main()
