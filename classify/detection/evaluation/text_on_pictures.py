"""Names of boxes in a picture: readable, inside it, and never over one another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]  # RGB, 0 to 255
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
SMALLEST_TEXT, LARGEST_TEXT, TEXTS_PER_SIDE = 10, 96, 75  # pixels; of a picture's longer side
LINES_PER_SIDE = 600
MOST_COVERED = 0.1  # of any box, by a label


class BoxLabel(NamedTuple):
    """The text of one box."""

    text: str
    corners: list[tuple[float, float]]  # of the box, in pixels
    colour: Colour


def text_size(picture: Image.Image) -> int:
    """Return the height of text in pixels that suits a picture."""
    return min(max(max(picture.size) // TEXTS_PER_SIDE, SMALLEST_TEXT), LARGEST_TEXT)


def line_width(picture: Image.Image) -> int:
    """Return the width of lines in pixels that suits a picture."""
    return max(1, max(picture.size) // LINES_PER_SIDE)


def write_labels(picture: Image.Image, labels: Sequence[BoxLabel]) -> int:
    """Write labels beside their boxes, each on a filled rectangle.

    A label goes above its box, else below, else inside it, moved into the picture. It is left out
    where it would cover one that is written already, or more than a tenth of any box.

    Args:
        picture: is drawn on.
        labels: the most important first.

    Returns:
        The number that were written.
    """
    boxes = np.array([_bounds(label.corners) for label in labels]).reshape(-1, 4)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(text_size(picture))
    taken = np.zeros((0, 4))
    for label in labels:
        left, top, right, bottom = pen.textbbox((0, 0), label.text, font=font)
        margin = 1 + text_size(picture) // 8
        size = np.array((right - left + 2 * margin, bottom - top + 2 * margin))
        for corner in _places(label.corners, size, picture.size):
            place = np.concatenate((corner, corner + size))
            if not _overlaps(place, taken) and _covered(place, boxes) <= MOST_COVERED:
                taken = np.concatenate((taken, place[None]))
                pen.rectangle(tuple(place.tolist()), fill=label.colour)
                start = (corner[0] + margin - left, corner[1] + margin - top)
                pen.text(start, label.text, fill=readable_on(label.colour), font=font)
                break
    return len(taken)


def _places(
    corners: list[tuple[float, float]], size: np.ndarray, picture: tuple[int, int]
) -> list[np.ndarray]:
    """Return the corners (left, top) that a label may have, best first; all are in the picture."""
    left, top, _, bottom = _bounds(corners)
    limit = np.maximum(np.array(picture) - 1 - size, 0)
    tried = ((left, top - size[1]), (left, bottom), (left, top))
    return [np.clip(np.round(np.array(one)), 0, limit) for one in tried]


def _bounds(corners: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def _covered(place: np.ndarray, boxes: np.ndarray) -> float:
    """Return the largest share of a box [N, 4] that a label covers."""
    sides = np.minimum(place[2:], boxes[:, 2:]) - np.maximum(place[:2], boxes[:, :2])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return float((sides.clip(min=0).prod(axis=1) / np.maximum(areas, 1e-9)).max(initial=0.0))


def _overlaps(place: np.ndarray, taken: np.ndarray) -> bool:
    apart = (place[:2] >= taken[:, 2:]) | (place[2:] <= taken[:, :2])
    return bool((~apart.any(axis=1)).any())


def readable_on(colour: Colour) -> Colour:
    """Return black or white, whichever contrasts more with a colour (ITU-R BT.601 luma)."""
    red, green, blue = colour
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else WHITE
