"""Draw one chip of one class, as a camera or a radar records it."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.runtime.errors import UserError
from tgn.scenes.camera import render_camera
from tgn.scenes.canvas import Canvas
from tgn.scenes.objects.aircraft_and_ships import draw_aircraft, draw_ship
from tgn.scenes.objects.courts import draw_basketball_court, draw_tennis_court
from tgn.scenes.objects.fields import draw_baseball_diamond, draw_ground_track_field
from tgn.scenes.objects.pavement import draw_roundabout, draw_runway
from tgn.scenes.objects.tanks_and_pools import draw_storage_tank, draw_swimming_pool
from tgn.scenes.objects.waterside import draw_bridge, draw_harbour
from tgn.scenes.radar import render_radar
from tgn.scenes.settings import MIN_SIZE

_DRAW_FUNCTIONS: dict[str, Callable[[Canvas, Generator], None]] = {
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

CLASS_NAMES: tuple[str, ...] = tuple(_DRAW_FUNCTIONS)
"""Folder names in the order of the long tail: the first has the most training images."""


def draw_chip(class_name: str, rng: Generator, size: int) -> NDArray[np.uint8]:
    """Draw one aerial chip as a camera records it: RGB bytes, [size, size, 3].

    Arguments and errors are those of `paint_scene`.
    """
    return render_camera(paint_scene(class_name, rng, size).downsampled(), rng)


def draw_pair(
    class_name: str, rng: Generator, radar_rng: Generator, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one scene for both sensors: RGB [size, size, 3] and grey [size, size, 1], bytes.

    The first equals that of :func:`draw_chip`; ``radar_rng`` is of the radar image alone.
    """
    canvas = paint_scene(class_name, rng, size)
    seen = render_radar(canvas, radar_rng)
    return render_camera(canvas.downsampled(), rng), seen


def paint_scene(class_name: str, rng: Generator, size: int) -> Canvas:
    """Paint one scene.

    Args:
        class_name: one of CLASS_NAMES.
        rng: the only source of randomness; equal state gives equal bytes.
        size: side in pixels, at least 32.

    Raises:
        UserError: if the class is unknown or the size too small.
    """
    if class_name not in _DRAW_FUNCTIONS:
        raise UserError(f"unknown scene class {class_name!r}: take one of {', '.join(CLASS_NAMES)}")
    if size < MIN_SIZE:
        raise UserError(f"scene size {size} is too small: take {MIN_SIZE} pixels or more")
    canvas = Canvas(size, rng)
    _DRAW_FUNCTIONS[class_name](canvas, rng)
    return canvas
