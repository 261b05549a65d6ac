"""Bridges and harbours."""

import math

import numpy as np
from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Pose
from tgn.scenes.colours import ASPHALTS, CONCRETES, WHITE, YELLOW, random_colour
from tgn.scenes.ground import paint_ground, texture
from tgn.scenes.objects.clutter import (
    draw_building,
    draw_cars,
    draw_neighbours,
    random_pose,
    scatter_trees,
)
from tgn.scenes.shapes import (
    Field,
    Shape,
    box,
    capsule,
    dashes,
    dilated,
    disc,
    outline,
    symmetric,
    union,
)

LAND = ("grass", "grass", "soil", "forest", "desert", "concrete")


def _river(rng: Generator, half_width: float) -> Shape:
    """Return a winding band along the v axis."""
    bends = [(rng.uniform(0.0, 0.1), rng.uniform(1.5, 7.0), rng.uniform(0, 6.3)) for _ in range(4)]
    lean = rng.uniform(-0.25, 0.25)

    def distance(us: Field, vs: Field) -> Field:
        shores = []
        for side, pair in ((1.0, bends[:2]), (-1.0, bends[2:])):
            wave = sum(size * np.sin(rate * vs + start) for size, rate, start in pair)
            shores.append(side * (us - lean * vs) - half_width + wave)
        return np.maximum(shores[0], shores[1])

    return Shape(distance, 4.0)


def _paint_deck(
    canvas: Canvas, rng: Generator, pose: Pose, half_width: float, reach: float
) -> None:
    """Draw the deck over the water with its roads on land; `reach` is the deck's half length."""
    asphalt = random_colour(rng, *ASPHALTS, *CONCRETES)
    canvas.fill(box(4.0, half_width * rng.uniform(0.8, 1.0)), pose, asphalt * 0.95)
    deck = box(reach, half_width * 1.12)
    canvas.cast_shadow(deck, pose, rng.uniform(0.08, 0.3))
    canvas.fill(deck, pose, random_colour(rng, *CONCRETES, (206, 202, 194)))
    canvas.fill(box(reach, half_width * 0.9), pose, asphalt)
    line = canvas.line(half_width * 0.05, pose, 0.2)
    paint = random_colour(rng, WHITE, YELLOW)
    canvas.fill(dashes(half_width * 0.5, line, half_width * 1.8, 4.0), pose, paint, 0.8)
    if rng.random() < 0.5:
        edges = union(box(4.0, line, v=half_width * 0.8), box(4.0, line, v=-half_width * 0.8))
        canvas.fill(edges, pose, random_colour(rng, WHITE), 0.6)
    draw_cars(canvas, rng, pose, half_width * 0.42, 6)


def _paint_truss(
    canvas: Canvas, rng: Generator, pose: Pose, half_width: float, reach: float
) -> None:
    """Draw cross beams and arches above a deck."""
    steel = random_colour(rng, (120, 124, 128), (150, 90, 70), (90, 110, 100), (190, 190, 186))
    bar = canvas.line(0.012, pose, 0.25)
    beams = dashes(bar, half_width * 1.1, rng.uniform(0.14, 0.25), reach)
    canvas.fill(beams, pose, steel, rng.uniform(0.5, 0.9))
    for side in (-1.05, 1.05):
        canvas.fill(box(reach, bar * 1.5, v=side * half_width), pose, steel)


def _paint_piers(
    canvas: Canvas, rng: Generator, pose: Pose, half_width: float, reach: float
) -> None:
    """Draw pier heads that stand out on both sides of a deck."""
    stone = random_colour(rng, *CONCRETES)
    count = int(rng.integers(1, 4))
    for index in range(count):
        at = reach * (2.0 * (index + 1) / (count + 1) - 1.0)
        head = capsule((at, -half_width * 1.3), (at, half_width * 1.3), 0.035)
        canvas.fill(head, pose, stone)


def draw_bridge(canvas: Canvas, rng: Generator) -> None:
    """Draw a road or rail bridge over a river, canal or bay."""
    paint_ground(canvas, rng, LAND)
    draw_neighbours(canvas, rng, 2, 0.8)
    scatter_trees(canvas, rng, 12, 0.0)
    pose = random_pose(rng, (0.99, 1.0))
    river_half = rng.uniform(0.4, 0.95)
    river = _river(rng, river_half)
    canvas.fill(
        dilated(river, rng.uniform(0.02, 0.08)),
        pose,
        random_colour(rng, (150, 134, 104), *CONCRETES),
    )
    canvas.fill(river, pose, texture(rng, canvas.side, "water"))
    half_width, reach = rng.uniform(0.08, 0.22), river_half + rng.uniform(0.1, 0.2)
    crossing = pose.child(0.0, 0.0, rng.uniform(-0.3, 0.3))
    if rng.random() < 0.5:
        _paint_piers(canvas, rng, crossing, half_width, reach)
    _paint_deck(canvas, rng, crossing, half_width, reach)
    if rng.random() < 0.3:
        _paint_truss(canvas, rng, crossing, half_width, reach)
    elif rng.random() < 0.25:
        second = crossing.child(0.0, half_width * rng.uniform(2.4, 3.0))
        _paint_deck(canvas, rng, second, half_width, reach)


def _paint_boat(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a small boat of half length 1."""
    width = rng.uniform(0.28, 0.42)
    hull = symmetric(((1.0, 0.0), (0.4, width), (-1.0, width * 0.85), (-1.0, 0.0)))
    canvas.cast_shadow(hull, pose, 0.25)
    canvas.fill(
        hull, pose, random_colour(rng, WHITE, WHITE, (214, 210, 200), (70, 90, 120), (150, 80, 60))
    )
    cabin = box(0.3, width * 0.6, u=rng.uniform(-0.5, 0.1))
    canvas.fill(cabin, pose, random_colour(rng, (90, 100, 112), (60, 70, 90), (180, 160, 130)), 0.8)


def _moor_boats(canvas: Canvas, rng: Generator, pier: Pose, length: float, boat: float) -> None:
    """Draw rows of boats along both sides of a pier that runs from u = 0 to `length`."""
    full = rng.uniform(0.55, 0.95)
    pitch = boat * rng.uniform(1.0, 1.35)
    for side in (-1.0, 1.0):
        place = pitch * 0.7
        while place < length:
            if rng.random() < full:
                size = boat * rng.uniform(0.75, 1.05)
                turn = -side * math.pi / 2 if rng.random() < 0.7 else side * math.pi / 2
                spot = pier.child(place, side * (size * 1.1 + 0.04), turn, size)
                _paint_boat(canvas, rng, spot)
            place += pitch


def draw_harbour(canvas: Canvas, rng: Generator) -> None:
    """Draw piers with rows of small boats before a quay."""
    paint_ground(canvas, rng, ("water",))
    pose = random_pose(rng, (0.9, 1.1))
    edge = rng.uniform(-0.95, -0.6)
    quay = box(1.5, 3.0, u=edge - 1.5)
    canvas.cast_shadow(quay, pose, 0.06)
    land = texture(rng, canvas.side, str(rng.choice(("concrete", "concrete", "asphalt", "grass"))))
    canvas.fill(quay, pose, land)
    canvas.fill(outline(quay, 0.03), pose, random_colour(rng, *CONCRETES))
    for _ in range(int(rng.integers(0, 4))):
        house = pose.child(edge - rng.uniform(0.2, 0.5), rng.uniform(-1.0, 1.0))
        draw_building(canvas, rng, Pose(house.x, house.y, pose.angle_rad + math.pi / 2, 0.15))
    boat = rng.uniform(0.09, 0.17)
    gap = boat * rng.uniform(5.0, 6.5)
    wood = random_colour(rng, *CONCRETES, (150, 126, 98), (196, 188, 170))
    first = rng.uniform(-1.0, -1.0 + gap)
    for index in range(math.ceil(2.0 / gap)):
        pier = pose.child(edge, first + index * gap)
        length = rng.uniform(1.1, 1.8)
        deck = box(length / 2, rng.uniform(0.025, 0.05), u=length / 2)
        canvas.cast_shadow(deck, pier, 0.04)
        canvas.fill(deck, pier, wood)
        _moor_boats(canvas, rng, pier, length, boat)
    if rng.random() < 0.3:
        lone = Pose(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 6.3), boat * 1.5)
        canvas.fill(disc(0.5, u=-1.2), lone, random_colour(rng, WHITE), 0.4, soft=1.0)
        _paint_boat(canvas, rng, lone)
