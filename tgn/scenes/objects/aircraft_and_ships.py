"""Aircraft and ships."""

import math

from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint, Pose
from tgn.scenes.colours import ASPHALTS, CONCRETES, WHITE, YELLOW, random_colour
from tgn.scenes.ground import paint_ground, paint_slabs
from tgn.scenes.objects.clutter import (
    draw_building,
    draw_car,
    draw_neighbours,
    random_pose,
)
from tgn.scenes.shapes import Shape, box, capsule, ellipse, intersection, outline, symmetric, union

LIVERIES = (
    (236, 236, 234),
    (222, 224, 226),
    (206, 208, 210),
    (172, 178, 182),
    (112, 118, 122),
    (108, 112, 92),
    (70, 76, 84),
)
HULLS = (
    (150, 62, 50),
    (60, 64, 70),
    (112, 116, 120),
    (206, 206, 202),
    (40, 58, 84),
    (64, 96, 80),
    (168, 120, 70),
)
CARGO = (
    (168, 70, 52),
    (60, 96, 140),
    (196, 150, 70),
    (90, 120, 84),
    (200, 198, 190),
    (120, 84, 70),
)


def _airliner(rng: Generator) -> tuple[Shape, Shape, Shape]:
    """Return fuselage, wings with tailplane, and engines of a jet of half length 1."""
    width = rng.uniform(0.085, 0.125)
    sweep, span = rng.uniform(0.3, 0.6), rng.uniform(0.75, 1.0)
    root, chord = rng.uniform(0.2, 0.35), rng.uniform(0.4, 0.52)
    fuselage = union(
        capsule((-0.5, 0.0), (0.9 - width, 0.0), width),
        symmetric(((-0.4, width), (-0.98, 0.03), (-0.98, 0.0))),
    )
    body = intersection(fuselage, box(1.0, width))
    wings = symmetric(
        ((root, 0.0), (root - sweep, span), (root - sweep - 0.1, span), (root - chord, 0.0))
    )
    tail = symmetric(((-0.66, 0.0), (-0.88, 0.36), (-0.98, 0.36), (-0.92, 0.0)))
    places = (0.32,) if rng.random() < 0.65 else (0.28, 0.55)
    pods = []
    for place in places:
        lead = root - sweep * place / span
        for side in (-place, place):
            pods.append(capsule((lead - 0.06, side), (lead + 0.1, side), 0.05))
    return body, union(wings, tail), union(*pods)


def _jet_fighter(rng: Generator) -> tuple[Shape, Shape, Shape]:
    """Return the parts of a delta-winged fighter of half length 1."""
    span = rng.uniform(0.5, 0.72)
    body = symmetric(((1.0, 0.0), (0.55, 0.1), (-0.7, 0.14), (-0.95, 0.1), (-0.95, 0.0)))
    wings = symmetric(((0.35, 0.0), (-0.45, span), (-0.62, span), (-0.55, 0.0)))
    tail = symmetric(((-0.55, 0.0), (-0.9, 0.38), (-1.0, 0.36), (-0.9, 0.0)))
    return body, union(wings, tail), capsule((0.35, 0.0), (0.55, 0.0), 0.05)


def _light_plane(rng: Generator) -> tuple[Shape, Shape, Shape]:
    """Return the parts of a propeller plane of half length 1."""
    span, chord = rng.uniform(0.95, 1.2), rng.uniform(0.12, 0.17)
    body = symmetric(((0.9, 0.0), (0.8, 0.12), (0.2, 0.14), (-0.95, 0.04), (-0.95, 0.0)))
    wings = box(chord, span, u=0.28, corner=0.06)
    tail = box(0.1, 0.36, u=-0.82, corner=0.04)
    return body, union(wings, tail), box(0.02, 0.2, u=0.92)


def paint_aircraft(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    """Paint an aircraft of half length 1 with its shadow; return its outline."""
    kinds = (_airliner, _airliner, _airliner, _jet_fighter, _light_plane)
    body, wings, engines = kinds[int(rng.integers(len(kinds)))](rng)
    livery = random_colour(rng, *LIVERIES, spread=7.0)
    canvas.cast_shadow(union(body, wings, engines), pose, rng.uniform(0.1, 0.22))
    canvas.fill(engines, pose, livery * rng.uniform(0.55, 0.9))
    canvas.fill(wings, pose, livery * rng.uniform(0.8, 0.98))
    canvas.fill(body, pose, livery)
    u, v = canvas.towards_sun(pose, 0.05)
    canvas.fill(
        intersection(body, capsule((-0.7 - u, -v), (0.8 - u, -v), 0.05)), pose, livery * 0.85
    )
    accent = random_colour(
        rng, (40, 60, 110), (160, 40, 40), (60, 60, 66), (220, 220, 220), (50, 110, 90)
    )
    canvas.fill(box(0.16, 0.028, u=-0.84), pose, accent)
    canvas.fill(box(0.03, 0.06, u=0.87), pose, random_colour(rng, (40, 44, 52)), 0.8)
    return union(body, wings, engines)


def _draw_apron(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw concrete joints, guide lines, a terminal and vehicles around a parked aircraft."""
    paint_slabs(canvas, rng, pose.angle_rad)
    if rng.random() < 0.6:
        line = canvas.line(0.012, pose, 0.2)
        shift = rng.uniform(-0.05, 0.05)
        canvas.fill(box(5.0, line, v=shift), pose, random_colour(rng, YELLOW, WHITE), 0.7)
    if rng.random() < 0.3:
        terminal = pose.child(rng.uniform(1.5, 1.9), rng.uniform(-1.0, 1.0), math.pi / 2, 1.6)
        draw_building(canvas, rng, terminal)
        canvas.fill(capsule((0.75, 0.1), (1.6, 0.5), 0.06), pose, random_colour(rng, *CONCRETES))
    for _ in range(int(rng.integers(0, 4))):
        place = pose.child(rng.uniform(-1.0, 1.2), rng.choice((-1, 1)) * rng.uniform(0.3, 1.3))
        draw_car(canvas, rng, Pose(place.x, place.y, rng.uniform(0, 6.3), 0.07 * pose.scale))


def draw_aircraft(canvas: Canvas, rng: Generator) -> None:
    """Draw a parked or rolling aircraft, sometimes with a second one cut off by the rim."""
    paint_ground(canvas, rng, ("concrete", "concrete", "asphalt", "grass", "desert"))
    pose = random_pose(rng)
    if rng.random() < 0.35:
        canvas.fill(
            box(4.0, rng.uniform(0.5, 1.2)), pose, random_colour(rng, *ASPHALTS, *CONCRETES)
        )
    _draw_apron(canvas, rng, pose)
    if rng.random() < 0.35:
        side = rng.choice((-1, 1)) * rng.uniform(2.1, 2.6)
        paint_aircraft(canvas, rng, pose.child(rng.uniform(-0.4, 0.4), side))
    draw_neighbours(canvas, rng, 2, 1.1)
    paint_aircraft(canvas, rng, pose)


def _draw_wake(canvas: Canvas, rng: Generator, pose: Pose, width: float) -> None:
    """Draw foam behind the stern and along the bow of a moving ship."""
    foam = random_colour(rng, (206, 218, 220), (176, 196, 200))
    strength = rng.uniform(0.25, 0.7)
    tail = symmetric(((-0.9, 0.0), (-0.92, width * 0.7), (-3.0, width * 2.2), (-3.0, 0.0)))
    canvas.fill(tail, pose, foam, strength * 0.6, soft=width)
    for side in (-1.0, 1.0):
        bow = capsule((0.95, 0.0), (-1.4, side * width * rng.uniform(2.2, 3.2)), width * 0.12)
        canvas.fill(bow, pose, foam, strength, soft=width * 0.5)


def _load_containers(canvas: Canvas, rng: Generator, pose: Pose, width: float) -> None:
    place = -0.5
    while place < 0.6:
        stack = box(0.055, width * 0.72, u=place)
        canvas.fill(stack, pose, random_colour(rng, *CARGO))
        place += rng.uniform(0.125, 0.15)


def _load_hatches(canvas: Canvas, rng: Generator, pose: Pose, width: float, deck: Paint) -> None:
    for index in range(int(rng.integers(3, 6))):
        hatch = box(0.09, width * 0.5, u=-0.4 + 0.25 * index)
        canvas.cast_shadow(hatch, pose, 0.03)
        canvas.fill(hatch, pose, deck * 1.25)


def paint_ship(canvas: Canvas, rng: Generator, pose: Pose) -> Shape:
    """Paint a ship of half length 1 with its load and shadow; return its outline."""
    width = rng.uniform(0.12, 0.26)
    blunt = rng.uniform(0.35, 0.75)
    hull = symmetric(
        ((1.0, 0.0), (0.86, width * 0.55), (blunt, width), (-0.9, width), (-1.0, width * 0.75))
        + ((-1.0, 0.0),)
    )
    deck = random_colour(rng, *HULLS, spread=12.0)
    canvas.cast_shadow(hull, pose, rng.uniform(0.05, 0.14))
    canvas.fill(hull, pose, deck * 0.6)
    inner = intersection(hull, union(box(0.97, width * 0.84), ellipse(0.9, width * 0.84)))
    canvas.fill(inner, pose, deck)
    load = rng.random()
    if load < 0.35:
        _load_containers(canvas, rng, pose, width)
    elif load < 0.65:
        _load_hatches(canvas, rng, pose, width, deck)
    else:
        canvas.fill(box(0.8, width * 0.07), pose, deck * 1.4)
    stern = rng.choice((-0.74, -0.74, -0.68, 0.1, 0.62))
    house = box(rng.uniform(0.1, 0.2), width * 0.78, u=float(stern))
    canvas.cast_shadow(house, pose, 0.12)
    canvas.fill(house, pose, random_colour(rng, WHITE, (206, 208, 208)))
    canvas.fill(box(0.05, width * 0.3, u=float(stern) - 0.05), pose, deck * 0.8)
    return hull


def _draw_quay(canvas: Canvas, rng: Generator, pose: Pose) -> None:
    """Draw a quay along one side of the ship."""
    side = rng.choice((-1, 1)) * rng.uniform(0.32, 0.42)
    quay = box(4.0, 2.0, v=float(side) + math.copysign(2.0, side))
    canvas.cast_shadow(quay, pose, 0.05)
    canvas.fill(quay, pose, random_colour(rng, *CONCRETES))
    canvas.fill(outline(quay, 0.02), pose, random_colour(rng, *ASPHALTS))
    for _ in range(int(rng.integers(0, 4))):
        at = float(side) + math.copysign(rng.uniform(0.2, 0.5), side)
        draw_building(canvas, rng, pose.child(rng.uniform(-1.0, 1.0), at, scale=0.12))


def draw_ship(canvas: Canvas, rng: Generator) -> None:
    """Draw one ship under way or moored, sometimes with small craft or a second ship near it."""
    paint_ground(canvas, rng, ("water",))
    pose = random_pose(rng, (0.5, 0.95))
    if rng.random() < 0.3:
        _draw_quay(canvas, rng, pose)
    elif rng.random() < 0.7:
        _draw_wake(canvas, rng, pose, 0.18)
    for _ in range(int(rng.integers(0, 4))):
        small = Pose(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 6.3), 0.11)
        canvas.fill(ellipse(1.0, 0.4), small, random_colour(rng, WHITE, (90, 80, 74)))
    if rng.random() < 0.15:
        side = rng.choice((-1, 1)) * rng.uniform(0.5, 0.6)
        paint_ship(canvas, rng, pose.child(rng.uniform(-0.3, 0.3), float(side), scale=0.8))
    paint_ship(canvas, rng, pose)
