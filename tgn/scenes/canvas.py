"""The canvas that shapes are painted on: blending, cast shadows, antialiased edges."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.scenes.shapes import Field, Shape

Paint = NDArray[np.floating[Any]]
"""A colour [3, 1, 1] or a texture [3, S, S] as large as the canvas, in [0, 1]."""


@dataclass(frozen=True)
class Pose:
    """Where a shape lies on the chip, whose x and y run from -1 to 1 (right and down).

    Args:
        x: position of the shape's origin.
        y: position of the shape's origin.
        angle_rad: direction of the shape's u axis, from x towards y.
        scale: chip units in one unit of the shape.
    """

    x: float
    y: float
    angle_rad: float
    scale: float

    def child(self, u: float, v: float, angle_rad: float = 0.0, scale: float = 1.0) -> "Pose":
        """Return the pose of a part that lies at (u, v), turned and scaled within this pose."""
        cosine, sine = math.cos(self.angle_rad), math.sin(self.angle_rad)
        x = self.x + self.scale * (u * cosine - v * sine)
        y = self.y + self.scale * (u * sine + v * cosine)
        return Pose(x, y, self.angle_rad + angle_rad, self.scale * scale)


class Canvas:
    """A square image with several samples per pixel and one sun.

    Args:
        size: side of the chip in pixels.
        rng: draws the direction, the length and the depth of the shadows.
    """

    def __init__(self, size: int, rng: Generator) -> None:
        self.size = size
        self.samples = 3 if size <= 40 else 2 if size <= 160 else 1
        self.side = size * self.samples
        self.pixels: Paint = np.zeros((3, self.side, self.side), np.float32)
        self.heights: Field = np.zeros((self.side, self.side), np.float32)
        """Height of objects above the ground, in chip units, [side, side]."""
        self._axis = (np.arange(self.side, dtype=np.float32) + 0.5) * (2.0 / self.side) - 1.0
        direction = rng.uniform(0.0, 2.0 * math.pi)
        length = rng.uniform(0.35, 1.5)
        self.sun = (length * math.cos(direction), length * math.sin(direction))
        """Offset of a point's shadow, in chip units for one chip unit of height."""
        self.shade = rng.uniform(0.35, 0.7) if rng.random() < 0.85 else rng.uniform(0.05, 0.2)

    def line(self, half_width: float, pose: Pose, pixels: float = 0.3) -> float:
        """Return the half width at which a painted line stays visible in small chips."""
        return max(half_width, pixels * (2.0 / self.size) / pose.scale)

    def fill(
        self, shape: Shape, pose: Pose, paint: Paint, opacity: float = 1.0, soft: float = 0.0
    ) -> None:
        """Paint a shape.

        Args:
            shape: what to paint, in its own coordinates.
            pose: where it lies.
            paint: a colour or a texture.
            opacity: 0..1.
            soft: width of the faded rim in units of the shape; 0 is a sharp rim.
        """
        found = self._coverage(shape, pose, soft)
        if found is None:
            return
        rows, columns, coverage = found
        if opacity != 1.0:
            coverage = coverage * np.float32(opacity)
        source = paint if paint.shape[1] == 1 else paint[:, rows, columns]
        patch = self.pixels[:, rows, columns]
        patch += coverage * (source - patch)

    def cast_shadow(self, shape: Shape, pose: Pose, height: float) -> None:
        """Cast the shadow of a shape of this height (in its own units) on the ground."""
        rise = height * pose.scale
        self._raise(shape, pose, rise)
        fallen = Pose(
            pose.x + self.sun[0] * rise, pose.y + self.sun[1] * rise, pose.angle_rad, pose.scale
        )
        found = self._coverage(shape, fallen, 0.0)
        if found is None:
            return
        rows, columns, coverage = found
        self.pixels[:, rows, columns] *= 1.0 - coverage * np.float32(self.shade)

    def _raise(self, shape: Shape, pose: Pose, rise: float) -> None:
        found = self._coverage(shape, pose, 0.0)
        if found is not None:
            rows, columns, coverage = found
            below = self.heights[rows, columns]
            np.maximum(below, coverage * np.float32(rise), out=below)

    def towards_sun(self, pose: Pose, length: float) -> tuple[float, float]:
        """Return the step (u, v) of this length, in units of the shape, towards the sun."""
        angle = math.atan2(-self.sun[1], -self.sun[0]) - pose.angle_rad
        return length * math.cos(angle), length * math.sin(angle)

    def downsampled(self) -> Paint:
        """Return the chip, each pixel the mean of its samples; [3, size, size], about [0, 1]."""
        blocks = self.pixels.reshape(3, self.size, self.samples, self.size, self.samples)
        return blocks.mean(axis=(2, 4))

    def _coverage(self, shape: Shape, pose: Pose, soft: float) -> tuple[slice, slice, Field] | None:
        reach = (shape.radius + soft) * pose.scale + 2.0 / self.side
        columns, rows = self._span(pose.x, reach), self._span(pose.y, reach)
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        across = (self._axis[columns] - pose.x)[None, :]
        down = (self._axis[rows] - pose.y)[:, None]
        cosine, sine = math.cos(pose.angle_rad) / pose.scale, math.sin(pose.angle_rad) / pose.scale
        distance = shape.distance(across * cosine + down * sine, down * cosine - across * sine)
        rim = max(soft, 2.0 / (self.side * pose.scale))
        return rows, columns, np.clip(0.5 - distance * (1.0 / rim), 0.0, 1.0)

    def _span(self, middle: float, reach: float) -> slice:
        half = self.side / 2
        first = max(int((middle - reach + 1.0) * half), 0)
        return slice(first, min(int((middle + reach + 1.0) * half) + 1, self.side))
