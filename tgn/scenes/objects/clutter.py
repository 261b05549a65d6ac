"""Surroundings of an object: trees, cars, buildings, roads and partly visible neighbours."""

import math

from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Pose
from tgn.scenes.colours import (
    ASPHALTS,
    CONCRETES,
    COURTS,
    GREENS,
    ROOFS,
    VEHICLES,
    WHITE,
    YELLOW,
    random_colour,
)
from tgn.scenes.shapes import box, capsule, dashes, disc, outline


def random_pose(rng: Generator, extent: tuple[float, float] = (0.45, 0.95)) -> Pose:
    """Return a pose of any angle for a shape of half length 1, shifted but mostly on the chip."""
    scale = rng.uniform(*extent)
    room = (1.0 - scale) * 0.7 + 0.1
    x, y = rng.uniform(-room, room), rng.uniform(-room, room)
    return Pose(x, y, rng.uniform(0.0, 2.0 * math.pi), scale)


def draw_tree(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw one crown with its shadow; the crown has radius 1."""
    canvas.cast_shadow(disc(1.0), pose, rng.uniform(0.6, 1.4))
    green = random_colour(rng, (44, 70, 38), (58, 84, 44), (72, 92, 50), (36, 58, 36))
    canvas.fill(disc(1.0), pose, green)
    u, v = canvas.towards_sun(pose, 0.3)
    canvas.fill(disc(0.6, u, v), pose, green * 1.3, 0.8, soft=0.5)


def scatter_trees(canvas: Canvas, rng: Generator, most: int, keep_out: float) -> None:
    """Draw up to `most` trees, none nearer to the middle of the chip than `keep_out`."""
    size = rng.uniform(0.05, 0.14)
    for _ in range(int(rng.integers(0, most + 1))):
        x, y = rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)
        if math.hypot(x, y) > keep_out:
            draw_tree(canvas, rng, Pose(x, y, 0.0, size * rng.uniform(0.6, 1.4)))


def draw_car(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw one car of half length 1."""
    body = box(1.0, 0.45, corner=0.2)
    canvas.cast_shadow(body, pose, 0.5)
    canvas.fill(body, pose, random_colour(rng, *VEHICLES))
    canvas.fill(box(0.45, 0.36, u=-0.1), pose, random_colour(rng, (70, 76, 84)), 0.5)


def draw_cars(canvas: Canvas, rng: Generator, road: Pose, offset: float, most: int) -> None:
    """Draw up to `most` cars on both sides of a road's middle line, `offset` away from it."""
    for _ in range(int(rng.integers(0, most + 1))):
        side = offset if rng.random() < 0.5 else -offset
        pose = road.child(rng.uniform(-1.0, 1.0) / road.scale, side, scale=offset * 0.9)
        draw_car(canvas, rng, pose)


def draw_building(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a house with a gabled or a flat roof, of half length 1."""
    depth = rng.uniform(0.45, 0.9)
    walls = box(1.0, depth)
    roof = random_colour(rng, *ROOFS)
    canvas.cast_shadow(walls, pose, rng.uniform(0.25, 0.8))
    canvas.fill(walls, pose, roof)
    if rng.random() < 0.6:
        _, towards = canvas.towards_sun(pose, 1.0)
        dark_side = -depth / 2 if towards > 0 else depth / 2
        canvas.fill(box(1.0, depth / 2, v=dark_side), pose, roof * 0.72)
        return
    canvas.fill(outline(box(0.95, depth - 0.05), 0.05), pose, roof * 1.2)
    for _ in range(int(rng.integers(0, 4))):
        unit = box(0.12, 0.1, rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7) * depth)
        canvas.cast_shadow(unit, pose, 0.12)
        canvas.fill(unit, pose, roof * 0.8 + 0.15)


def draw_road(canvas: Canvas, rng: Generator, pose: Pose, half_width: float) -> None:
    """Draw a straight road through the whole chip with a middle line and perhaps some cars."""
    canvas.fill(box(4.0, half_width * 1.25), pose, random_colour(rng, *CONCRETES), 0.5)
    canvas.fill(box(4.0, half_width), pose, random_colour(rng, *ASPHALTS))
    line = canvas.line(half_width * 0.06, pose, 0.2)
    if rng.random() < 0.7:
        paint = random_colour(rng, WHITE, YELLOW)
        canvas.fill(dashes(half_width * 0.5, line, half_width * 2.2, 4.0), pose, paint, 0.8)
    draw_cars(canvas, rng, pose, half_width * 0.45, 3)


def _edge_pose(rng: Generator, scale: tuple[float, float], away: float) -> Pose:
    """Return a pose at the rim of the chip, `away` or more from its middle."""
    direction = rng.uniform(0.0, 2.0 * math.pi)
    reach = rng.uniform(away, away + 0.35)
    turn = direction + math.pi / 2 if rng.random() < 0.5 else rng.uniform(0.0, math.pi)
    x, y = reach * math.cos(direction), reach * math.sin(direction)
    return Pose(x, y, turn, rng.uniform(*scale))


def _draw_yard(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a parking yard: asphalt with rows of cars."""
    canvas.fill(box(1.0, 0.6), pose, random_colour(rng, *ASPHALTS))
    for row in (-0.35, 0.35):
        for place in range(7):
            if rng.random() < 0.6:
                spot = pose.child(-0.85 + place * 0.28, row, math.pi / 2, 0.17)
                draw_car(canvas, rng, spot)


def _draw_court_corner(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a part of a neighbouring sports court."""
    canvas.fill(box(1.0, 0.6), pose, random_colour(rng, *COURTS))
    line = canvas.line(0.03, pose)
    canvas.fill(outline(box(0.8, 0.4), line), pose, random_colour(rng, WHITE), 0.8)
    canvas.fill(box(line, 0.4), pose, random_colour(rng, WHITE), 0.8)


def _draw_round_object(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a neighbouring tank, silo, pond or round flower bed."""
    if rng.random() < 0.5:
        canvas.cast_shadow(disc(1.0), pose, 0.4)
    canvas.fill(disc(1.0), pose, random_colour(rng, (206, 206, 202), (150, 150, 148), *GREENS))
    canvas.fill(outline(disc(0.95), 0.06), pose, random_colour(rng, *CONCRETES))


def _draw_pool_corner(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a neighbouring pool or bright blue roof."""
    canvas.fill(box(1.0, 0.6, corner=0.2), pose, random_colour(rng, *CONCRETES))
    canvas.fill(
        box(0.85, 0.45, corner=0.15), pose, random_colour(rng, (84, 170, 196), (70, 120, 170))
    )


def draw_neighbours(canvas: Canvas, rng: Generator, most: int, away: float = 0.95) -> None:
    """Draw up to `most` other objects at the rim of the chip, as in real chips."""
    kinds = [draw_building] * 3 + [_draw_yard, _draw_court_corner]
    kinds += [_draw_round_object, _draw_pool_corner]
    for _ in range(int(rng.integers(0, most + 1))):
        kind = kinds[int(rng.integers(len(kinds)))]
        kind(canvas, rng, _edge_pose(rng, (0.15, 0.42), away))


def draw_surroundings(canvas: Canvas, rng: Generator, away: float = 0.95) -> None:
    """Draw the roads, paths, neighbours and trees around an object on land."""
    if rng.random() < 0.35:
        draw_road(canvas, rng, _edge_pose(rng, (1.0, 1.0), away * 0.85), rng.uniform(0.06, 0.16))
    if rng.random() < 0.3:
        path = capsule((-3.0, 0.0), (3.0, 0.0), rng.uniform(0.02, 0.05))
        pose = _edge_pose(rng, (1.0, 1.0), 0.3)
        canvas.fill(path, pose, random_colour(rng, *CONCRETES, (170, 146, 112)), 0.8)
    draw_neighbours(canvas, rng, 3, away)
    scatter_trees(canvas, rng, 9, 0.7)
