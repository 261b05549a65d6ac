"""Small data folders of random pictures, and their splits."""

from pathlib import Path

import numpy as np
from PIL import Image

from tgn.data.split import Split
from tgn.data.splits.make_split import plan_split
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.progress import Silent


def picture(path: Path, seed: int) -> None:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(path)


def fill(root: Path, seed: int = 0, **counts: int) -> Path:
    """Write ROOT/<class>/<i>.png, no two of them equal for different seeds."""
    for k, (name, count) in enumerate(counts.items()):
        for i in range(count):
            picture(root / name / f"{i:02d}.png", 10_000 * seed + 1000 * k + i)
    return root


def plan(data: Path, **settings: object) -> Split:
    """Return the split that these settings make."""
    return plan_split(data, SplitSettings.resolve(None, (), **settings), Silent())


def counts(split: Split) -> dict[str, tuple[int, int, int]]:
    """Return class folder -> images of training, validation and test."""
    return {entry.folder: (entry.train, entry.val, entry.test) for entry in split.classes}
