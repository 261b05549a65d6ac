"""Folders of small images, and the splits that are planned of them."""

from pathlib import Path

import numpy as np
from PIL import Image

from tgn.data.splits.make_split import plan_split
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.progress import Silent


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(path)


def fill(root: Path, seed: int = 0, **counts: int) -> Path:
    """Write ROOT/<class>/<i>.png, no two of them equal for different seeds."""
    for k, (name, count) in enumerate(counts.items()):
        for i in range(count):
            picture(root / name / f"{i:02d}.png", 10_000 * seed + 1000 * k + i)
    return root


def plan(data: Path, **settings: object):
    return plan_split(data, SplitSettings.resolve(None, (), **settings), Silent())


def counts(split) -> dict[str, tuple[int, int, int]]:
    return {entry.folder: (entry.train, entry.val, entry.test) for entry in split.classes}
