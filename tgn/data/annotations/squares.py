"""The square round an object, with a margin: what a chip shows of its image."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Square(NamedTuple):
    """A square in pixels of an image; it may reach beyond its border."""

    left: int
    top: int
    side: int


def square_round(
    box_xyxy: tuple[float, float, float, float], size: tuple[int, int], margin: float
) -> Square:
    """Return the square round a box.

    Args:
        box_xyxy: left, top, right, bottom in pixels; what lies outside the image is cut off.
        size: width and height of the image.
        margin: on either side, in lengths of the box's longer side.
    """
    left, top, right, bottom = np.clip(box_xyxy, 0, size * 2).tolist()
    half = max(right - left, bottom - top) * (0.5 + margin)
    x, y = round((left + right) / 2 - half), round((top + bottom) / 2 - half)
    return Square(x, y, max(round(2 * half), 1))


def crop_square(picture: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """Return the pixels [S, S, 3] of a square of a picture [H, W, 3], reflected at its border."""
    height, width = picture.shape[:2]
    rows = _reflect(np.arange(square.top, square.top + square.side), height)
    columns = _reflect(np.arange(square.left, square.left + square.side), width)
    return picture[rows[:, None], columns[None, :]]


def _reflect(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Map any index to 0..length-1 by reflection at the borders."""
    period = np.mod(index, 2 * length)
    return np.minimum(period, 2 * length - 1 - period)
