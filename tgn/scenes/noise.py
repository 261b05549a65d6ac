"""Smooth random fields for ground, cloud shadows and irregular edges."""

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.scenes.shapes import Field


@lru_cache(maxsize=256)
def _steps(side: int, cells: int) -> tuple[NDArray[np.intp], Field]:
    """Return for every sample its grid cell and its eased position within the cell."""
    position = (np.arange(side) + 0.5) * (cells / side)
    cell = position.astype(np.intp)
    way = (position - cell).astype(np.float32)
    return cell, way * way * (3.0 - 2.0 * way)


def smooth_noise(rng: Generator, side: int, cells: int) -> Field:
    """Return value noise: random numbers on a coarse grid, smoothly interpolated.

    Plain element-wise arithmetic, so that the bytes do not depend on a matrix library.

    Args:
        rng: source of the grid's values.
        side: side of the field in samples.
        cells: grid cells along each side.

    Returns:
        [side, side] in [0, 1].
    """
    grid = rng.random((cells + 1, cells + 1), dtype=np.float32)
    cell, way = _steps(side, cells)
    above, below = grid[cell], grid[cell + 1]
    tall = above + (below - above) * way[:, None]
    left, right = tall[:, cell], tall[:, cell + 1]
    return left + (right - left) * way[None, :]
