"""One chip of one class."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.runtime.errors import UserError
from tgn.scenes.canvas import Canvas
from tgn.scenes.courts import draw_basketball_court, draw_tennis_court
from tgn.scenes.craft import draw_aircraft, draw_ship
from tgn.scenes.fields import draw_baseball_diamond, draw_ground_track_field
from tgn.scenes.pavement import draw_roundabout, draw_runway
from tgn.scenes.radar import radar_view
from tgn.scenes.sensor import sense
from tgn.scenes.vessels import draw_storage_tank, draw_swimming_pool
from tgn.scenes.waterside import draw_bridge, draw_harbour

SMALLEST_SIZE = 32
"""Below this many pixels a court's lines or a boat cannot be told."""

_DRAWERS: dict[str, Callable[[Canvas, Generator], None]] = {
    "aircraft": draw_aircraft,
    "ship": draw_ship,
    "storage_tank": draw_storage_tank,
    "tennis_court": draw_tennis_court,
    "baseball_diamond": draw_baseball_diamond,
    "bridge": draw_bridge,
    "roundabout": draw_roundabout,
    "harbour": draw_harbour,
    "runway": draw_runway,
    "swimming_pool": draw_swimming_pool,
    "basketball_court": draw_basketball_court,
    "ground_track_field": draw_ground_track_field,
}

CLASS_NAMES: tuple[str, ...] = tuple(_DRAWERS)
"""Folder names in the order of the long tail: the first has the most training images."""


def draw_chip(class_name: str, rng: Generator, size: int) -> NDArray[np.uint8]:
    """Draws one aerial chip as a camera sees it: RGB bytes, [size, size, 3].

    Arguments and errors are those of `paint_scene`.
    """
    return sense(paint_scene(class_name, rng, size).shrunk(), rng)


def draw_pair(
    class_name: str, rng: Generator, radar_rng: Generator, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws one scene as camera and radar see it: RGB [size, size, 3], grey [size, size, 1].

    The first is what `draw_chip` draws; ``radar_rng`` adds what only the radar does.
    """
    canvas = paint_scene(class_name, rng, size)
    seen = radar_view(canvas, radar_rng)
    return sense(canvas.shrunk(), rng), seen


def paint_scene(class_name: str, rng: Generator, size: int) -> Canvas:
    """Paints one scene.

    Args:
        class_name: one of CLASS_NAMES.
        rng: the only source of chance; equal state gives equal bytes.
        size: side in pixels, at least 32.

    Raises:
        UserError: if the class is unknown or the size too small.
    """
    if class_name not in _DRAWERS:
        raise UserError(f"unknown scene class {class_name!r}: take one of {', '.join(CLASS_NAMES)}")
    if size < SMALLEST_SIZE:
        raise UserError(f"scene size {size} is too small: take {SMALLEST_SIZE} pixels or more")
    canvas = Canvas(size, rng)
    _DRAWERS[class_name](canvas, rng)
    return canvas
