"""Tennis and basketball courts; lengths within a court are metres."""

from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint, Pose
from tgn.scenes.colours import ASPHALTS, COURTS, WHITE, random_colour
from tgn.scenes.ground import paint_ground
from tgn.scenes.objects.clutter import draw_surroundings, random_pose, scatter_trees
from tgn.scenes.shapes import Shape, box, capsule, disc, intersection, outline, ring, union

COURT_GROUNDS = ("grass", "grass", "concrete", "asphalt", "soil", "forest")


def _draw_fence(canvas: Canvas, rng: Generator, pose: Pose, half_u: float, half_v: float) -> None:
    """Draw the fence round a block of courts with its shadow and lamps."""
    fence = outline(box(half_u, half_v), canvas.line(0.1, pose, 0.15))
    canvas.cast_shadow(fence, pose, rng.uniform(1.0, 3.0))
    canvas.fill(fence, pose, random_colour(rng, (70, 80, 74), (130, 132, 132)), 0.6)
    for side in (-half_v, half_v):
        for end in (-half_u * 0.5, half_u * 0.5):
            if rng.random() < 0.4:
                canvas.cast_shadow(capsule((end, side), (end, side), 0.4), pose, 6.0)
                canvas.fill(disc(0.5, end, side), pose, random_colour(rng, WHITE))


def _tennis_lines(line: float) -> Shape:
    half_line = box(6.40, line)
    services = union(box(line, 4.115, u=6.40), box(line, 4.115, u=-6.40))
    sides = outline(box(11.885, 4.115), line)
    return union(outline(box(11.885, 5.485), line), sides, services, half_line)


def paint_tennis(canvas: Canvas, rng: Generator, pose: Pose, court: Paint) -> Shape:
    """Paint one tennis court; return its outline."""
    canvas.fill(box(11.885, 5.485), pose, court)
    wear = rng.uniform(0.6, 1.0)
    canvas.fill(_tennis_lines(canvas.line(0.08, pose, 0.27)), pose, random_colour(rng, WHITE), wear)
    net = box(canvas.line(0.08, pose, 0.25), 6.4)
    canvas.cast_shadow(net, pose, 0.9)
    canvas.fill(net, pose, random_colour(rng, (50, 54, 56), (190, 190, 186)), 0.85)
    return box(11.885, 5.485)


def draw_tennis_court(canvas: Canvas, rng: Generator) -> None:
    """Draw one to four tennis courts side by side in one fence."""
    paint_ground(canvas, rng, COURT_GROUNDS)
    draw_surroundings(canvas, rng)
    count = int(rng.choice((1, 1, 1, 2, 2, 3, 4)))
    pitch = rng.uniform(14.5, 18.3)
    half_u, half_v = rng.uniform(15.0, 18.3), count * pitch / 2
    wanted = random_pose(rng, (0.6, 1.0))
    pose = wanted.child(0.0, 0.0, scale=1.0 / max(half_u, half_v))
    surround = random_colour(rng, *COURTS, *ASPHALTS[1:3])
    court = surround if rng.random() < 0.3 else random_colour(rng, *COURTS)
    canvas.fill(box(half_u, half_v), pose, surround)
    for index in range(count):
        part = pose.child(0.0, (index - (count - 1) / 2) * pitch)
        paint_tennis(canvas, rng, part, court)
    if rng.random() < 0.7:
        _draw_fence(canvas, rng, pose, half_u, half_v)
    scatter_trees(canvas, rng, 6, 0.85)


def _basketball_lines(line: float) -> Shape:
    """Return the lines: outer, half, centre circle; at each end key, arcs, free-throw circle."""
    parts = [outline(box(14.0, 7.5), line), box(line, 7.5), ring(1.8, line)]
    inside = box(14.0, 7.5)
    for end in (-1.0, 1.0):
        parts.append(outline(box(2.9, 2.45, u=end * 11.1), line))
        parts.append(ring(1.8, line, u=end * 8.2))
        parts.append(intersection(ring(6.75, line, u=end * 12.4), inside))
    return union(*parts)


def paint_basketball(canvas: Canvas, rng: Generator, pose: Pose, court: Paint) -> Shape:
    """Paint one basketball court; return its outline."""
    canvas.fill(box(14.0, 7.5), pose, court)
    key = court if rng.random() < 0.25 else random_colour(rng, *COURTS)
    if rng.random() < 0.35:
        zones = intersection(union(disc(6.75, -12.4), disc(6.75, 12.4)), box(14.0, 7.5))
        canvas.fill(zones, pose, random_colour(rng, *COURTS))
    keys = union(box(2.9, 2.45, u=-11.1), box(2.9, 2.45, u=11.1))
    heads = intersection(union(disc(1.8, -8.2), disc(1.8, 8.2)), box(14.0, 7.5))
    canvas.fill(union(keys, heads), pose, key)
    if rng.random() < 0.6:
        canvas.fill(disc(1.8), pose, key)
    lines = _basketball_lines(canvas.line(0.08, pose, 0.27))
    canvas.fill(
        lines, pose, random_colour(rng, WHITE, WHITE, (214, 186, 80)), rng.uniform(0.6, 1.0)
    )
    for end in (-1.0, 1.0):
        board = box(0.35, 0.9, u=end * 13.0)
        canvas.cast_shadow(board, pose, 3.0)
        canvas.fill(board, pose, random_colour(rng, WHITE))
    return box(14.0, 7.5)


def draw_basketball_court(canvas: Canvas, rng: Generator) -> None:
    """Draw one or two basketball courts on a painted ground."""
    paint_ground(canvas, rng, COURT_GROUNDS)
    draw_surroundings(canvas, rng)
    count = int(rng.choice((1, 1, 1, 2)))
    pitch = rng.uniform(16.5, 19.0)
    half_u, half_v = rng.uniform(14.5, 17.5), count * pitch / 2
    wanted = random_pose(rng, (0.6, 1.0))
    pose = wanted.child(0.0, 0.0, scale=1.0 / max(half_u, half_v))
    surround = random_colour(rng, *COURTS, *ASPHALTS[1:3])
    court = surround if rng.random() < 0.4 else random_colour(rng, *COURTS, (190, 150, 104))
    canvas.fill(box(half_u, half_v), pose, surround)
    for index in range(count):
        part = pose.child(0.0, (index - (count - 1) / 2) * pitch)
        paint_basketball(canvas, rng, part, court)
    if rng.random() < 0.6:
        _draw_fence(canvas, rng, pose, half_u, half_v)
    scatter_trees(canvas, rng, 6, 0.85)
