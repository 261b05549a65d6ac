"""Textures of land and water, under the objects."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from tgn.scenes.canvas import Canvas, Paint
from tgn.scenes.colours import Rgb, random_colour
from tgn.scenes.noise import smooth_noise


@dataclass(frozen=True)
class Ground:
    """Parameters of one texture.

    Args:
        palette: three colours that patches of the ground take.
        grain: relative brightness of the finest detail.
        clumps: relative brightness of middle-sized clumps (tree crowns, tufts).
        stripes: relative brightness of parallel stripes (furrows, waves, mowing), at most.
    """

    palette: tuple[Rgb, Rgb, Rgb]
    grain: float
    clumps: float
    stripes: float


GROUNDS: dict[str, tuple[Ground, ...]] = {
    "grass": (
        Ground(((86, 114, 58), (110, 132, 74), (72, 96, 50)), 0.10, 0.12, 0.06),
        Ground(((126, 130, 82), (148, 142, 96), (100, 112, 64)), 0.12, 0.14, 0.05),
        Ground(((62, 100, 48), (78, 116, 58), (54, 86, 44)), 0.08, 0.10, 0.10),
    ),
    "soil": (
        Ground(((134, 108, 80), (158, 130, 98), (112, 90, 66)), 0.10, 0.12, 0.12),
        Ground(((120, 92, 76), (150, 112, 88), (108, 100, 70)), 0.12, 0.12, 0.15),
    ),
    "concrete": (
        Ground(((152, 150, 146), (172, 168, 160), (138, 137, 134)), 0.05, 0.06, 0.0),
        Ground(((120, 121, 122), (138, 137, 134), (106, 106, 108)), 0.06, 0.07, 0.0),
    ),
    "asphalt": (Ground(((88, 88, 90), (104, 103, 102), (76, 76, 79)), 0.06, 0.07, 0.0),),
    "forest": (
        Ground(((46, 70, 40), (64, 88, 50), (30, 48, 30)), 0.25, 0.75, 0.0),
        Ground(((66, 80, 44), (88, 92, 52), (40, 56, 34)), 0.25, 0.65, 0.0),
    ),
    "desert": (
        Ground(((196, 170, 130), (212, 190, 152), (178, 150, 112)), 0.05, 0.08, 0.06),
        Ground(((176, 138, 104), (192, 156, 118), (156, 126, 98)), 0.06, 0.10, 0.04),
    ),
    "water": (
        Ground(((40, 76, 96), (54, 94, 108), (32, 60, 82)), 0.07, 0.06, 0.12),
        Ground(((60, 90, 80), (78, 104, 88), (50, 76, 70)), 0.06, 0.06, 0.08),
        Ground(((34, 52, 74), (44, 64, 84), (28, 42, 62)), 0.08, 0.07, 0.14),
        Ground(((66, 116, 130), (92, 140, 146), (48, 96, 118)), 0.06, 0.06, 0.10),
        Ground(((104, 104, 84), (120, 116, 94), (90, 94, 80)), 0.05, 0.05, 0.06),
    ),
}


def _stripes(rng: Generator, side: int, strength: float) -> Paint:
    """Return parallel bright and dark stripes of random direction and width, [S, S] around 1."""
    axis = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    angle, waves = rng.uniform(0.0, math.pi), rng.uniform(12.0, 42.0)
    phase = axis[None, :] * math.cos(angle) + axis[:, None] * math.sin(angle)
    bend = smooth_noise(rng, side, 3) * rng.uniform(0.0, 0.25)
    return 1.0 + strength * np.sin((phase + bend) * waves)


def texture(rng: Generator, side: int, kind: str) -> Paint:
    """Return a random patch of one kind of ground.

    Args:
        rng: of variant, colours and noise.
        side: side of the patch in samples.
        kind: a key of GROUNDS.

    Returns:
        [3, side, side] in about [0, 1].
    """
    variants = GROUNDS[kind]
    ground = variants[int(rng.integers(len(variants)))]
    first, second, third = (random_colour(rng, rgb, spread=9.0) for rgb in ground.palette)
    patches = smooth_noise(rng, side, int(rng.integers(2, 6)))
    spots = smooth_noise(rng, side, int(rng.integers(6, 13)))
    clumps = smooth_noise(rng, side, int(rng.integers(12, 22)))
    grain = smooth_noise(rng, side, min(side // 2, 64))
    light = 1.0 + ground.clumps * (clumps - 0.5) + ground.grain * (grain - 0.5)
    if ground.stripes and rng.random() < 0.6:
        light *= _stripes(rng, side, ground.stripes * rng.uniform(0.2, 1.0))
    mixed = first + patches * (second - first) + spots * (0.8 * (third - first))
    return mixed * light


def paint_ground(canvas: Canvas, rng: Generator, kinds: tuple[str, ...]) -> None:
    """Cover the canvas with one of the kinds, often with a patch of a second one."""
    kind = kinds[int(rng.integers(len(kinds)))]
    canvas.pixels[:] = texture(rng, canvas.side, kind)
    if kind == "water" or rng.random() > 0.55:
        return
    land = [name for name in kinds if name != "water"]
    other = texture(rng, canvas.side, land[int(rng.integers(len(land)))])
    border = smooth_noise(rng, canvas.side, int(rng.integers(1, 4))) - rng.uniform(0.45, 0.75)
    mask = np.clip(border * canvas.side * rng.uniform(0.1, 0.6), 0.0, 1.0)
    canvas.pixels += mask * (other - canvas.pixels)


def paint_slabs(canvas: Canvas, rng: Generator, angle_rad: float) -> None:
    """Draw the joints of concrete slabs into the whole canvas."""
    axis = np.linspace(-1.0, 1.0, canvas.side, dtype=np.float32)
    period, half_width = rng.uniform(0.18, 0.45), 0.4 / canvas.size
    depth = rng.uniform(0.05, 0.2)
    for turn in (angle_rad, angle_rad + math.pi / 2):
        across = axis[None, :] * math.cos(turn) + axis[:, None] * math.sin(turn)
        joint = np.abs(np.mod(across, period) - period / 2) < half_width * 2.0
        canvas.pixels *= 1.0 - depth * joint.astype(np.float32)
