"""Baseball diamonds and ground track fields; lengths within a field are metres."""

import math

import numpy as np
from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint, Pose
from tgn.scenes.colours import CONCRETES, GREENS, WHITE, Rgb, random_colour
from tgn.scenes.ground import paint_ground
from tgn.scenes.objects.clutter import draw_building, draw_surroundings, random_pose, scatter_trees
from tgn.scenes.shapes import (
    Field,
    Shape,
    box,
    capsule,
    dilated,
    disc,
    intersection,
    outline,
    ring,
    union,
)

DIRTS: tuple[Rgb, ...] = ((172, 128, 92), (156, 106, 76), (190, 152, 116), (144, 100, 80))
TRACKS: tuple[Rgb, ...] = (
    (168, 82, 66),
    (150, 66, 58),
    (184, 104, 80),
    (164, 116, 92),
    (96, 108, 150),
    (130, 124, 118),
)


def _fan(radius: float, home: float, back: float) -> Shape:
    """Return the quarter of a disc that opens from home plate at u = `home` towards +u.

    Args:
        radius: of the arc round u = `back`.
        home: where the foul lines meet.
        back: middle of the arc.
    """
    wedge_side = math.sqrt(0.5)

    def distance(us: Field, vs: Field) -> Field:
        wedge = (np.abs(vs) - (us - home)) * wedge_side
        return np.maximum(wedge, disc(radius, u=back).distance(us, vs))

    return Shape(distance, radius + abs(back) + abs(home))


def _diamond(half_side: float) -> Shape:
    """Return a square that stands on its corner."""

    def distance(us: Field, vs: Field) -> Field:
        return (np.abs(us) + np.abs(vs)) * math.sqrt(0.5) - half_side

    return Shape(distance, half_side * 1.5)


def _mow(canvas: Canvas, rng: Generator, pose: Pose, lawn: Shape, green: Paint) -> None:
    """Paint a lawn, often in light and dark stripes."""
    canvas.fill(lawn, pose, green)
    if rng.random() < 0.55:
        width, angle = rng.uniform(3.0, 8.0), rng.uniform(0.0, math.pi)

        def stripes(us: Field, vs: Field) -> Field:
            across = us * math.cos(angle) + vs * math.sin(angle)
            return np.abs(np.mod(across, 2 * width) - width) - width / 2

        pattern = intersection(lawn, Shape(stripes, lawn.radius))
        canvas.fill(pattern, pose, green * rng.uniform(1.08, 1.25))


def _paint_infield(canvas: Canvas, rng: Generator, pose: Pose, green: Paint) -> None:
    """Draw dirt fan, grass diamond, mound, plates and lines; the diamond's middle is the origin."""
    dirt, home = random_colour(rng, *DIRTS), -19.4
    canvas.fill(dilated(_fan(29.0, home, -1.0), 1.5), pose, dirt)
    canvas.fill(disc(5.0, u=home), pose, dirt)
    if rng.random() < 0.8:
        _mow(canvas, rng, pose, _diamond(rng.uniform(10.5, 12.3)), green)
        for u, v in ((19.4, 0.0), (0.0, 19.4), (0.0, -19.4), (home, 0.0)):
            canvas.fill(disc(4.2, u, v), pose, dirt)
    canvas.fill(disc(2.7), pose, dirt * 1.05)
    chalk, line = random_colour(rng, WHITE), canvas.line(0.12, pose, 0.22)
    for side in (-1.0, 1.0):
        canvas.fill(capsule((home, 0.0), (60.0, side * 79.4), line), pose, chalk, 0.8)
    for u, v in ((19.0, 0.0), (0.0, 19.0), (0.0, -19.0), (home, 0.0)):
        canvas.fill(disc(canvas.line(0.4, pose, 0.4), u, v), pose, chalk)


def draw_baseball_diamond(canvas: Canvas, rng: Generator) -> None:
    """Draw a diamond with more or less of its outfield."""
    paint_ground(canvas, rng, ("grass", "grass", "soil", "forest", "concrete"))
    draw_surroundings(canvas, rng, 1.05)
    wanted = random_pose(rng, (0.6, 1.0))
    reach = rng.uniform(32.0, 62.0)
    pose = wanted.child(-0.15, 0.0, scale=1.0 / reach)
    green = random_colour(rng, *GREENS)
    far = rng.uniform(70.0, 100.0)
    if rng.random() < 0.7:
        canvas.fill(
            dilated(_fan(far, -24.0, -19.4), 4.0), pose, random_colour(rng, *DIRTS, *GREENS)
        )
    _mow(canvas, rng, pose, _fan(far, -24.0, -19.4), green)
    _paint_infield(canvas, rng, pose, green)
    if rng.random() < 0.6:
        backstop = intersection(ring(14.0, 0.6, u=-19.4), box(20.0, 12.0, u=-42.0))
        canvas.cast_shadow(backstop, pose, 4.0)
        canvas.fill(backstop, pose, random_colour(rng, *CONCRETES))
    for side in (-1.0, 1.0):
        if rng.random() < 0.6:
            dugout = pose.child(-9.0, side * 21.0, side * math.pi / 4, 7.0)
            draw_building(canvas, rng, dugout.child(0.0, 0.0, scale=0.8))
    scatter_trees(canvas, rng, 6, 0.9)


def _stadium(half_straight: float, radius: float) -> Shape:
    return capsule((-half_straight, 0.0), (half_straight, 0.0), radius)


def _paint_pitch(canvas: Canvas, rng: Generator, pose: Pose, half_u: float, half_v: float) -> None:
    """Draw a football pitch with its lines."""
    line, chalk = canvas.line(0.3, pose, 0.2), random_colour(rng, WHITE)
    ends = [box(8.0, 20.0, u=end * (half_u - 8.0)) for end in (-1.0, 1.0)]
    boxes = [outline(end, line) for end in ends]
    lines = union(outline(box(half_u, half_v), line), box(line, half_v), ring(9.15, line), *boxes)
    canvas.fill(lines, pose, chalk, rng.uniform(0.4, 0.9))


def _paint_lanes(canvas: Canvas, rng: Generator, pose: Pose, size: tuple[float, float]) -> None:
    """Draw white lines between lanes on a track of (half straight, inner radius) and its finish."""
    chalk, line = random_colour(rng, WHITE), canvas.line(0.1, pose, 0.14)
    shown = int(rng.choice((2, 3, 5, 8)))
    for lane in range(shown + 1):
        rim = outline(_stadium(size[0], size[1] + 9.8 * lane / shown), line)
        canvas.fill(rim, pose, chalk, 0.6)
    finish = box(line, 4.9, u=size[0], v=size[1] + 4.9)
    canvas.fill(finish, pose, chalk)


def draw_ground_track_field(canvas: Canvas, rng: Generator) -> None:
    """Draw a running track with lanes round a green pitch, sometimes with a stand."""
    paint_ground(canvas, rng, ("grass", "grass", "concrete", "asphalt", "soil", "forest"))
    draw_surroundings(canvas, rng)
    straight, radius = rng.uniform(38.0, 46.0), rng.uniform(29.0, 37.0)
    outer = radius + rng.uniform(8.5, 12.5)
    pose = random_pose(rng, (0.6, 1.0)).child(0.0, 0.0, scale=1.0 / (straight + outer))
    if rng.random() < 0.4:
        stand = box(straight * rng.uniform(0.6, 1.0), 7.0, v=-outer - 9.0)
        canvas.cast_shadow(stand, pose, 9.0)
        canvas.fill(stand, pose, random_colour(rng, *CONCRETES, (90, 110, 160)))
    track = random_colour(rng, *TRACKS)
    if rng.random() < 0.4:
        canvas.fill(_stadium(straight, outer + 4.0), pose, random_colour(rng, *CONCRETES, *GREENS))
    canvas.fill(_stadium(straight, outer), pose, track)
    _paint_lanes(canvas, rng, pose, (straight, radius))
    inner = _stadium(straight, radius - 0.5)
    pitch = box(straight + 8.0, radius - 4.0)
    green = random_colour(rng, *GREENS)
    if rng.random() < 0.5:
        canvas.fill(inner, pose, track * 1.05)
        _mow(canvas, rng, pose, intersection(pitch, inner), green)
    else:
        _mow(canvas, rng, pose, inner, green)
    if rng.random() < 0.8:
        _paint_pitch(canvas, rng, pose, straight + 5.0, radius - 7.0)
    scatter_trees(canvas, rng, 6, 0.95)
