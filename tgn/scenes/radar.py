"""A painted scene as a side-looking radar records it: one band, speckle, layover, shadow.

For trying two-sensor methods; not a physical simulation: scattering is guessed from the colour.
Effects after Oliver and Quegan, Understanding Synthetic Aperture Radar Images (2004), chapters 1
and 4.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.scenes.canvas import Canvas, Paint
from tgn.scenes.shapes import Field

LAYOVER = 1.1  # columns towards the radar by which an echo shifts, for one column of height
SLOPE = 0.55  # columns of height by which the line of sight falls, for one column
WALL = 5.0  # echo of a wall that faces the radar, for one column of height
FLOOR_DB, RANGE_DB = -26.0, 34.0  # what is black, and how far above it is white


def render_radar(canvas: Canvas, rng: Generator) -> NDArray[np.uint8]:
    """Turn a painted scene into a radar chip; the radar looks from left to right.

    Args:
        canvas: a scene with its heights.
        rng: of looks, speckle and gain; must not be the one that painted the scene.

    Returns:
        Grey bytes, [S, S, 1].
    """
    rise = canvas.heights * np.float32(canvas.side / 2)  # in columns
    echo = _scattering(canvas.pixels) * _lit(rise) + WALL * _walls(rise)
    power = _add_layover(echo, rise)
    size, samples = canvas.size, canvas.samples
    power = power.reshape(size, samples, size, samples).mean(axis=(1, 3))
    looks = rng.uniform(1.5, 5.0)
    speckle = rng.gamma(looks, 1.0 / looks, power.shape)
    power = power * speckle + rng.gamma(1.0, 10 ** (FLOOR_DB / 10), power.shape)
    level = 10.0 * np.log10(power) + rng.normal(0.0, 1.0)
    grey = np.clip(np.round((level - FLOOR_DB) * (255.0 / RANGE_DB)), 0.0, 255.0)
    return grey.astype(np.uint8)[:, :, None]


def _scattering(pixels: Paint) -> Field:
    """Return the backscatter of flat ground, [S, S]: low on water, high on plants."""
    red, green, blue = pixels
    bright = pixels.mean(axis=0)
    plants = np.clip(4.0 * (green - np.maximum(red, blue)), 0.0, 1.0)
    water = np.clip(4.0 * (blue - red), 0.0, 1.0) * (1.0 - plants)
    ground = 0.05 + 0.12 * bright + 0.22 * plants
    return (ground * (1.0 - 0.95 * water)).astype(np.float32)


def _lit(rise: Field) -> Field:
    """Return 1 where the radar sees the surface, 0 in the shadow of higher things to the left."""
    line = rise + SLOPE * np.arange(rise.shape[1], dtype=np.float32)
    highest = np.maximum.accumulate(line, axis=1)
    return (line >= highest - 1e-4).astype(np.float32)


def _walls(rise: Field) -> Field:
    """Return how steeply the surface rises away from the radar, [S, S]."""
    step = np.diff(rise, axis=1, prepend=rise[:, :1])
    return np.clip(step, 0.0, None)


def _add_layover(echo: Field, rise: Field) -> Field:
    """Apply layover: echoes of high things arrive early and shift towards the radar."""
    side = echo.shape[1]
    column = np.arange(side)[None, :] - np.round(LAYOVER * rise).astype(np.int64)
    seen = np.zeros_like(echo)
    rows = np.broadcast_to(np.arange(side)[:, None], echo.shape)
    inside = column >= 0
    np.add.at(seen, (rows[inside], column[inside]), echo[inside])
    return seen
