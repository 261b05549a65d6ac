"""Draw one large image with many objects, each with its rotated box."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.scenes.camera import render_camera
from tgn.scenes.canvas import Canvas, Pose
from tgn.scenes.colours import ASPHALTS, CONCRETES, COURTS, random_colour
from tgn.scenes.ground import paint_ground
from tgn.scenes.objects.aircraft_and_ships import paint_aircraft, paint_ship
from tgn.scenes.objects.clutter import draw_building, draw_car, draw_tree
from tgn.scenes.objects.courts import paint_basketball, paint_tennis
from tgn.scenes.objects.tanks_and_pools import TANKS, paint_pool, paint_tank, random_basin
from tgn.scenes.shapes import Shape, box, disc

LAND = ("grass", "concrete", "asphalt", "soil", "desert")
GRID = 160  # points across a shape, to measure its box
TRIES = 30
MARGIN = 0.85  # of an object's reach that must lie within the image


class LabelledObject(NamedTuple):
    """One object of an image."""

    class_name: str
    corners: tuple[tuple[float, float], ...]  # four, (x, y) in pixels


@dataclass(frozen=True)
class _ObjectClass:
    """How a class is painted.

    Args:
        paint: paints one, returns its outline.
        reach: half its length, in units of the shape.
        side: half its width, likewise.
        pixels: least and greatest half length in the image.
        max_in_row: most that stand side by side.
        has_front: else its box lies upright, whichever way it is turned.
    """

    paint: Callable[[Canvas, Generator, Pose], Shape]
    reach: float
    side: float
    pixels: tuple[float, float]
    max_in_row: int = 1
    has_front: bool = True


def _vehicle(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    draw_car(canvas, rng, pose)
    return box(1.0, 0.45)


def _tank(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    canvas.cast_shadow(disc(1.0), pose, rng.uniform(0.3, 1.0))
    paint_tank(canvas, rng, pose, random_colour(rng, *TANKS), rng.random() < 0.5)
    return disc(1.0)


def _tennis(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    canvas.fill(box(16.5, 8.0), pose, random_colour(rng, *COURTS, *ASPHALTS[1:3]))
    return paint_tennis(canvas, rng, pose, random_colour(rng, *COURTS))


def _basketball(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    canvas.fill(box(16.0, 9.0), pose, random_colour(rng, *COURTS, *ASPHALTS[1:3]))
    return paint_basketball(canvas, rng, pose, random_colour(rng, *COURTS, (190, 150, 104)))


def _pool(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    canvas.fill(box(1.4, 0.95, corner=0.1), pose, random_colour(rng, *CONCRETES, (196, 170, 140)))
    basin = random_basin(rng)
    paint_pool(canvas, rng, pose, basin)
    return basin


_CLASSES: dict[str, _ObjectClass] = {
    "vehicle": _ObjectClass(_vehicle, 1.0, 0.6, (5.5, 9.0), max_in_row=6),
    "ship": _ObjectClass(paint_ship, 1.0, 0.32, (12.0, 36.0), max_in_row=3),
    "storage_tank": _ObjectClass(_tank, 1.0, 1.1, (6.0, 16.0), max_in_row=3, has_front=False),
    "aircraft": _ObjectClass(paint_aircraft, 1.0, 1.0, (14.0, 30.0)),
    "tennis_court": _ObjectClass(_tennis, 12.0, 8.0, (15.0, 26.0), max_in_row=3),
    "swimming_pool": _ObjectClass(_pool, 1.0, 1.0, (7.0, 14.0)),
    "basketball_court": _ObjectClass(_basketball, 14.0, 9.0, (15.0, 24.0), max_in_row=2),
}
DETECTION_CLASSES: tuple[str, ...] = tuple(_CLASSES)
"""The most frequent first."""


class _Places:
    """Occupied circles of the image, in pixels."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken: list[tuple[float, float, float]] = []

    def find(self, rng: Generator, radius: float) -> tuple[float, float] | None:
        """Occupy a free circle and return its centre, or None after too many tries."""
        room = radius * MARGIN
        if 2 * room >= self.size:
            return None
        for _ in range(TRIES):
            x, y = rng.uniform(room, self.size - room, 2)
            if all(math.hypot(x - a, y - b) > radius + r for a, b, r in self.taken):
                self.taken.append((x, y, radius))
                return float(x), float(y)
        return None


def draw_detection_image(
    rng: Generator, size: int, weights: dict[str, float], objects: int
) -> tuple[NDArray[np.uint8], list[LabelledObject]]:
    """Draw one image with objects in any direction, some side by side.

    Ships are on water, all others on land; no image has both.

    Args:
        rng: the only source of randomness.
        size: side in pixels.
        weights: relative frequency of each class of DETECTION_CLASSES.
        objects: about how many there are.

    Returns:
        RGB bytes [size, size, 3] and the objects in the image.
    """
    canvas = Canvas(size, rng)
    total = sum(weights.values())
    is_water = rng.random() < weights["ship"] / total
    paint_ground(canvas, rng, ("water",) if is_water else LAND)
    places = _Places(size)
    if not is_water:
        _draw_town(canvas, rng, places)
    names = ["ship"] if is_water else [name for name in DETECTION_CLASSES if name != "ship"]
    chance = np.array([weights[name] for name in names])
    labelled: list[LabelledObject] = []
    for _ in range(3 * objects):
        name = names[int(rng.choice(len(names), p=chance / chance.sum()))]
        labelled += _draw_row(canvas, rng, places, name)
        if len(labelled) >= objects:
            break
    return render_camera(canvas.downsampled(), rng), labelled


def _draw_town(canvas: Canvas, rng: Generator, places: _Places) -> None:
    """Draw the background: roads, buildings and trees, none of them labelled."""
    for _ in range(int(rng.integers(0, 3))):
        road = Pose(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, math.pi), 1.0)
        canvas.fill(box(4.0, rng.uniform(0.04, 0.1)), road, random_colour(rng, *ASPHALTS))
    for draw, most, pixels in ((draw_building, 4, (12.0, 28.0)), (draw_tree, 12, (3.0, 7.0))):
        for _ in range(int(rng.integers(0, most + 1))):
            radius = rng.uniform(*pixels)
            place = places.find(rng, radius)
            if place is not None:
                draw(canvas, rng, _pose(canvas, place, rng.uniform(0, 2 * math.pi), radius))


def _draw_row(canvas: Canvas, rng: Generator, places: _Places, name: str) -> list[LabelledObject]:
    """Draw one object, or some of a class side by side."""
    kind = _CLASSES[name]
    count = int(rng.integers(1, kind.max_in_row + 1)) if rng.random() < 0.5 else 1
    scale = rng.uniform(*kind.pixels) / kind.reach  # pixels for one unit of the shape
    pitch = 2 * kind.side * rng.uniform(1.05, 1.4)
    half_width = kind.side + (count - 1) * pitch / 2
    place = places.find(rng, scale * math.hypot(kind.reach, half_width) * 1.05)
    if place is None:
        return []
    row = _pose(canvas, place, rng.uniform(0, 2 * math.pi), scale)
    found = []
    for number in range(count):
        half_turn = math.pi if rng.random() < 0.5 else 0.0
        shift = kind.reach * 0.06 * rng.standard_normal()
        pose = row.child(float(shift), (number - (count - 1) / 2) * pitch, half_turn)
        outline = kind.paint(canvas, rng, pose)
        axes = pose if kind.has_front else Pose(pose.x, pose.y, 0.0, pose.scale)
        found.append(LabelledObject(name, oriented_box(outline, axes, canvas.size)))
    return found


def _pose(canvas: Canvas, place: tuple[float, float], angle_rad: float, pixels: float) -> Pose:
    half = canvas.size / 2
    return Pose(place[0] / half - 1, place[1] / half - 1, angle_rad, pixels / half)


def oriented_box(shape: Shape, pose: Pose, size: int) -> tuple[tuple[float, float], ...]:
    """Return the corners, in pixels, of the smallest box along the axes of a shape.

    Args:
        shape: what is painted.
        pose: where.
        size: side of the image in pixels.
    """
    axis = np.linspace(-1.0, 1.0, GRID) * shape.radius * (1 + 1 / GRID)
    inside = shape.distance(axis[None, :].repeat(GRID, 0), axis[:, None].repeat(GRID, 1)) <= 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    step = (axis[1] - axis[0]) / 2
    left, right = axis[columns[0]] - step, axis[columns[-1]] + step
    top, bottom = axis[rows[0]] - step, axis[rows[-1]] + step
    around = ((left, top), (right, top), (right, bottom), (left, bottom))
    ends = (pose.child(float(u), float(v)) for u, v in around)
    return tuple(((end.x + 1) * size / 2, (end.y + 1) * size / 2) for end in ends)
