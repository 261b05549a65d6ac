"""Runways and roundabouts."""

import math

from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint, Pose
from tgn.scenes.colours import ASPHALTS, CONCRETES, GREENS, WHITE, YELLOW, random_colour
from tgn.scenes.ground import paint_ground
from tgn.scenes.objects.clutter import (
    draw_car,
    draw_cars,
    draw_surroundings,
    draw_tree,
    random_pose,
    scatter_trees,
)
from tgn.scenes.shapes import box, capsule, dashes, disc, ring, symmetric


def _threshold(canvas: Canvas, rng: Generator, pose: Pose, half_width: float, end: float) -> None:
    """Draw threshold bars, number and aiming points before the runway's end at u = `end`."""
    paint = random_colour(rng, WHITE)
    bars = int(rng.integers(3, 6))
    step = 0.85 * half_width / bars
    width = max(step * 0.3, canvas.line(0.0, pose, 0.25))
    for index in range(bars):
        for side in (-1.0, 1.0):
            bar = box(0.11, width, u=end - 0.17, v=side * step * (index + 0.7))
            canvas.fill(bar, pose, paint, 0.9)
    for side in (-0.14, 0.14):
        canvas.fill(box(0.05, half_width * 0.07, u=end - 0.42, v=side * half_width), pose, paint)
    if rng.random() < 0.6:
        for side in (-0.45, 0.45):
            aim = box(0.1, half_width * 0.13, u=end - 0.85, v=side * half_width)
            canvas.fill(aim, pose, paint, 0.9)


def _taxiway(canvas: Canvas, rng: Generator, pose: Pose, asphalt: Paint) -> None:
    """Draw a taxiway that leaves the runway with its yellow middle line."""
    turn = rng.choice((-1, 1)) * rng.uniform(0.5, 1.6)
    branch = pose.child(rng.uniform(-0.6, 0.4), 0.0, float(turn))
    half_width = rng.uniform(0.08, 0.14)
    canvas.fill(box(2.0, half_width, u=2.0), branch, asphalt * rng.uniform(0.9, 1.15))
    line = canvas.line(0.01, branch, 0.2)
    canvas.fill(box(2.0, line, u=2.0), branch, random_colour(rng, YELLOW), 0.7)


def _paint_runway(canvas: Canvas, rng: Generator, pose: Pose, end: float) -> None:
    """Draw the strip from far behind the chip to u = `end`, with wear and markings."""
    half_width = rng.uniform(0.16, 0.4)
    asphalt = random_colour(rng, *ASPHALTS, *CONCRETES[:2])
    if rng.random() < 0.5:
        _taxiway(canvas, rng, pose, asphalt)
    shoulder = box(2.0, half_width * rng.uniform(1.1, 1.35), u=end - 2.0 + rng.uniform(0.05, 0.4))
    canvas.fill(shoulder, pose, asphalt * rng.uniform(0.8, 1.2))
    canvas.fill(box(2.0, half_width, u=end - 2.0), pose, asphalt)
    rubber = box(0.6, half_width * 0.3, u=end - 0.9)
    canvas.fill(rubber, pose, asphalt * 0.6, rng.uniform(0.0, 0.6), soft=0.3)
    paint, line = random_colour(rng, WHITE), canvas.line(half_width * 0.05, pose, 0.28)
    until = max(end - 0.55, 0.1)
    middle = dashes(rng.uniform(0.08, 0.14), line, rng.uniform(0.3, 0.42), 1.6)
    canvas.fill(middle, pose.child(until - 1.6, 0.0), paint, 0.9)
    if rng.random() < 0.7:
        for side in (-0.9, 0.9):
            edge = box(2.0, line * 0.8, u=end - 2.0, v=side * half_width)
            canvas.fill(edge, pose, paint, 0.8)
    _threshold(canvas, rng, pose, half_width, end)


def draw_runway(canvas: Canvas, rng: Generator) -> None:
    """Draw a piece of a runway, its end on the chip or beyond it."""
    paint_ground(canvas, rng, ("grass", "grass", "soil", "desert", "concrete"))
    draw_surroundings(canvas, rng, 1.15)
    pose = random_pose(rng, (0.95, 1.05))
    end = rng.uniform(0.5, 1.0) if rng.random() < 0.65 else rng.uniform(1.4, 1.7)
    _paint_runway(canvas, rng, pose, end)


def _arms(rng: Generator, half_width: float) -> list[float]:
    """Return the directions of three to five roads that meet, radians."""
    count = int(rng.integers(3, 6))
    gap = 2.0 * math.pi / count
    turn = rng.uniform(0.0, gap)
    loose = max(gap / 2 - 2.2 * half_width, 0.0)
    return [turn + index * gap + rng.uniform(-loose, loose) for index in range(count)]


def _paint_island(canvas: Canvas, rng: Generator, pose: Pose, radius: float) -> None:
    """Draw the centre of the roundabout: kerb, lawn and something on it."""
    canvas.fill(disc(radius * 1.1), pose, random_colour(rng, *CONCRETES))
    lawn = random_colour(rng, *GREENS, (150, 132, 96))
    canvas.fill(disc(radius), pose, lawn)
    kind = rng.random()
    if kind < 0.45:
        for _ in range(int(rng.integers(1, 6))):
            place, reach = rng.uniform(0.0, 6.3), radius * rng.uniform(0.0, 0.7)
            size = radius * rng.uniform(0.15, 0.35)
            tree = pose.child(reach * math.cos(place), reach * math.sin(place), scale=size)
            draw_tree(canvas, rng, tree)
    elif kind < 0.7:
        canvas.fill(disc(radius * 0.55), pose, random_colour(rng, *CONCRETES, (90, 150, 170)))
        canvas.fill(disc(radius * 0.3), pose, lawn * 1.1)
    elif kind < 0.85:
        canvas.fill(
            ring(radius * 0.6, radius * 0.1), pose, random_colour(rng, (150, 80, 90), *CONCRETES)
        )


def _mark_arm(canvas: Canvas, rng: Generator, arm: Pose, half_width: float) -> None:
    """Draw splitter island, middle line and cars of one arm that leaves at u = 1."""
    line = canvas.line(half_width * 0.06, arm, 0.2)
    canvas.fill(box(1.5, line, u=2.6), arm, random_colour(rng, WHITE), 0.7)
    if rng.random() < 0.7:
        wedge = symmetric(((1.45, 0.0), (1.06, half_width * 0.45), (1.02, 0.0)))
        canvas.fill(wedge, arm, random_colour(rng, *GREENS, *CONCRETES))
    draw_cars(canvas, rng, arm.child(1.9, 0.0), half_width * 0.45, 1)


def draw_roundabout(canvas: Canvas, rng: Generator) -> None:
    """Draw a ring road round a green island with three to five arms."""
    paint_ground(canvas, rng, ("grass", "grass", "soil", "concrete", "desert", "forest"))
    draw_surroundings(canvas, rng, 1.0)
    pose = random_pose(rng, (0.45, 0.78))
    half_width, island = rng.uniform(0.17, 0.27), rng.uniform(0.42, 0.66)
    asphalt = random_colour(rng, *ASPHALTS)
    arms = [pose.child(0.0, 0.0, angle) for angle in _arms(rng, half_width)]
    for paint, wider in ((random_colour(rng, *CONCRETES), 0.06), (asphalt, 0.0)):
        for arm in arms:
            canvas.fill(capsule((0.7, 0.0), (6.0, 0.0), half_width + wider), arm, paint)
        canvas.fill(disc(1.0 + wider), pose, paint)
    for arm in arms:
        _mark_arm(canvas, rng, arm, half_width)
    lane = (1.0 + island * 1.1) / 2
    if rng.random() < 0.4:
        line = canvas.line(0.012, pose, 0.2)
        canvas.fill(ring(lane, line), pose, random_colour(rng, WHITE), 0.6)
    _paint_island(canvas, rng, pose, island)
    for _ in range(int(rng.integers(0, 5))):
        place = rng.uniform(0.0, 6.3)
        reach = lane + rng.uniform(-0.08, 0.08)
        at = pose.child(reach * math.cos(place), reach * math.sin(place), place + 1.57, 0.08)
        draw_car(canvas, rng, at)
    scatter_trees(canvas, rng, 6, 1.0)
