"""Storage tanks and swimming pools."""

import math

from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint, Pose
from tgn.scenes.colours import CONCRETES, WHITE, random_colour
from tgn.scenes.ground import paint_ground
from tgn.scenes.objects.clutter import (
    draw_building,
    draw_surroundings,
    draw_tree,
    random_pose,
    scatter_trees,
)
from tgn.scenes.shapes import (
    Shape,
    box,
    capsule,
    dilated,
    disc,
    ellipse,
    intersection,
    outline,
    ring,
    union,
)

TANKS = (
    (232, 232, 228),
    (214, 214, 210),
    (188, 190, 190),
    (158, 160, 160),
    (204, 196, 176),
    (150, 120, 100),
    (132, 150, 140),
)
LAYOUTS: tuple[tuple[int, int], ...] = ((1, 1), (1, 1), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3))
"""Rows and columns of tank groups."""


def paint_tank(canvas: Canvas, rng: Generator, pose: Pose, roof: Paint, floating: bool) -> None:
    """Draw one tank of radius 1; the wall shades a crescent of a floating roof."""
    canvas.fill(disc(1.0), pose, roof * 0.8)
    canvas.fill(disc(0.95), pose, roof)
    if floating:
        u, v = canvas.towards_sun(pose, rng.uniform(0.12, 0.4))
        inside = disc(0.88)
        canvas.fill(inside, pose, roof * (0.95 - canvas.shade * 0.8))
        canvas.fill(intersection(inside, disc(0.9, -u, -v)), pose, roof * 0.9)
    else:
        u, v = canvas.towards_sun(pose, 0.5)
        canvas.fill(
            intersection(disc(0.95), disc(1.0, -u * 2, -v * 2)), pose, roof * 0.82, soft=0.5
        )
    if rng.random() < 0.6:
        canvas.fill(ring(rng.uniform(0.3, 0.65), 0.04), pose, roof * 0.8, 0.7)
    canvas.fill(ring(0.95, 0.05), pose, roof * 1.12)
    canvas.fill(disc(0.08), pose, roof * rng.uniform(0.5, 0.8))
    ladder = pose.child(0.0, 0.0, rng.uniform(0.0, 6.3))
    canvas.fill(capsule((0.1, 0.0), (0.95, 0.0), 0.03), ladder, roof * 0.7, 0.7)


def draw_storage_tank(canvas: Canvas, rng: Generator) -> None:
    """Draw one to six cylindrical tanks in a yard, with pipes and bund walls."""
    paint_ground(canvas, rng, ("concrete", "soil", "grass", "desert", "asphalt"))
    draw_surroundings(canvas, rng)
    rows, columns = LAYOUTS[int(rng.integers(len(LAYOUTS)))]
    pitch = rng.uniform(2.3, 2.9)
    half_u, half_v = (columns - 1) * pitch / 2 + 1.0, (rows - 1) * pitch / 2 + 1.0
    wanted = random_pose(rng, (0.5, 0.92))
    pose = wanted.child(0.0, 0.0, scale=1.0 / max(half_u, half_v))
    if rng.random() < 0.5:
        bund = box(half_u + 0.7, half_v + 0.7)
        canvas.fill(
            bund, pose, random_colour(rng, *CONCRETES, (150, 126, 96)), rng.uniform(0.3, 0.9)
        )
        canvas.cast_shadow(outline(bund, 0.07), pose, 0.1)
        canvas.fill(outline(bund, 0.07), pose, random_colour(rng, *CONCRETES))
    for _ in range(int(rng.integers(0, 3))):
        pipe = box(6.0, 0.06, v=rng.uniform(-half_v, half_v))
        canvas.fill(
            pipe, pose.child(0.0, 0.0, float(rng.choice((0.0, 1.57)))), random_colour(rng, *TANKS)
        )
    height, floating = rng.uniform(0.3, 1.0), rng.random() < 0.5
    roof = random_colour(rng, *TANKS)
    for row in range(rows):
        for column in range(columns):
            u, v = (column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch
            tank = pose.child(u, v, scale=rng.uniform(0.85, 1.0))
            canvas.cast_shadow(disc(1.0), tank, height)
            own = roof if rng.random() < 0.75 else random_colour(rng, *TANKS)
            paint_tank(canvas, rng, tank, own, floating)


def random_basin(rng: Generator) -> Shape:
    """Return the outline of a pool of half length about 1."""
    kind = int(rng.integers(5))
    width = rng.uniform(0.42, 0.62)
    if kind == 0:
        return box(1.0, width, corner=rng.uniform(0.0, 0.15))
    if kind == 1:
        return box(1.0, width, corner=width * 0.98)
    if kind == 2:
        return ellipse(1.0, rng.uniform(0.55, 0.75))
    if kind == 3:
        return union(box(1.0, 0.36, v=-0.25, corner=0.08), box(0.38, 0.5, u=-0.62, v=0.3))
    lobes = union(disc(0.55, -0.45, 0.0), disc(rng.uniform(0.4, 0.5), 0.5, rng.uniform(0.1, 0.3)))
    neck = capsule((-0.4, -0.1), (0.45, rng.uniform(-0.05, 0.1)), 0.36)
    return union(lobes, neck)


def paint_pool(canvas: Canvas, rng: Generator, pose: Pose, basin: Shape) -> None:
    """Draw coping, basin, the shade of its wall, steps and glints."""
    water = random_colour(
        rng, (84, 178, 204), (64, 158, 196), (110, 196, 206), (70, 150, 170), (60, 130, 186)
    )
    canvas.fill(dilated(basin, 0.1), pose, random_colour(rng, WHITE, *CONCRETES, (206, 186, 156)))
    canvas.fill(basin, pose, water * 0.72)
    u, v = canvas.towards_sun(pose, 0.1)
    lit = Shape(lambda us, vs: basin.distance(us + u, vs + v), basin.radius + 0.2)
    canvas.fill(intersection(basin, lit), pose, water)
    deep = Shape(lambda us, vs: basin.distance(us * 1.6 - 0.5, vs * 1.6), basin.radius)
    canvas.fill(deep, pose, water * rng.uniform(0.78, 0.95), soft=0.3)
    if rng.random() < 0.5:
        steps = box(0.12, 0.25, u=rng.uniform(-0.95, -0.7))
        canvas.fill(intersection(basin, steps), pose, water * 1.2)


def _furnish(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw loungers and parasols on the patio."""
    for _ in range(int(rng.integers(0, 6))):
        u, v = rng.uniform(-1.2, 1.2), float(rng.choice((-1, 1))) * rng.uniform(0.75, 0.95)
        spot = pose.child(u, v, 1.57, 0.11)
        if rng.random() < 0.6:
            canvas.fill(
                box(1.0, 0.4), spot, random_colour(rng, WHITE, (90, 110, 150), (190, 150, 90))
            )
        else:
            canvas.cast_shadow(disc(1.0), spot, 0.8)
            canvas.fill(disc(1.0), spot, random_colour(rng, WHITE, (170, 70, 60), (206, 190, 150)))


def draw_swimming_pool(canvas: Canvas, rng: Generator) -> None:
    """Draw a pool with its patio beside a house, in a garden."""
    paint_ground(canvas, rng, ("grass", "grass", "concrete", "soil", "desert", "forest"))
    draw_surroundings(canvas, rng, 0.9)
    pose = random_pose(rng, (0.4, 0.78))
    patio = box(rng.uniform(1.2, 1.5), rng.uniform(0.75, 1.1), corner=rng.uniform(0.0, 0.2))
    if rng.random() < 0.85:
        canvas.fill(patio, pose, random_colour(rng, *CONCRETES, (196, 170, 140), (166, 120, 96)))
    if rng.random() < 0.8:
        away = float(rng.choice((-1, 1))) * rng.uniform(1.4, 1.8)
        house = pose.child(rng.uniform(-0.5, 0.5), away, scale=rng.uniform(0.9, 1.4))
        draw_building(canvas, rng, house)
    paint_pool(canvas, rng, pose, random_basin(rng))
    _furnish(canvas, rng, pose)
    for _ in range(int(rng.integers(0, 5))):
        direction, reach = rng.uniform(0.0, 6.3), rng.uniform(1.2, 1.8)
        u, v = reach * math.cos(direction), reach * math.sin(direction)
        draw_tree(canvas, rng, pose.child(u, v, scale=rng.uniform(0.14, 0.32)))
    scatter_trees(canvas, rng, 5, 1.0)
