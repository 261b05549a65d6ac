"""Plane shapes as signed distance functions.

A shape lives in its own coordinates (u forward, v to the right) with the origin near its middle.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""Numbers of a part of the canvas, [H, W]; float32 in practice."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A region of the plane.

    Args:
        distance: maps u and v, both [H, W], to the signed distance [H, W], negative inside.
        radius: every point of the shape lies this near to the origin; bounds the work.
    """

    distance: Callable[[Field, Field], Field]
    radius: float


def disc(radius: float, u: float = 0.0, v: float = 0.0) -> Shape:
    """Return a disc around (u, v)."""

    def distance(us: Field, vs: Field) -> Field:
        return np.sqrt((us - u) ** 2 + (vs - v) ** 2) - radius

    return Shape(distance, radius + math.hypot(u, v))


def ellipse(half_u: float, half_v: float, u: float = 0.0, v: float = 0.0) -> Shape:
    """Return an ellipse around (u, v); the distance is right to first order near the rim."""

    def distance(us: Field, vs: Field) -> Field:
        a, b = (us - u) / half_u, (vs - v) / half_v
        value = np.sqrt(a * a + b * b) + 1e-6
        slope = np.sqrt((a / half_u) ** 2 + (b / half_v) ** 2) + 1e-6
        return value * (value - 1.0) / slope

    return Shape(distance, max(half_u, half_v) + math.hypot(u, v))


def box(half_u: float, half_v: float, u: float = 0.0, v: float = 0.0, corner: float = 0.0) -> Shape:
    """Return a rectangle around (u, v), its corners rounded with radius `corner`."""

    def distance(us: Field, vs: Field) -> Field:
        du = np.abs(us - u) - (half_u - corner)
        dv = np.abs(vs - v) - (half_v - corner)
        if corner == 0.0:
            return np.maximum(du, dv)
        outside = np.sqrt(np.maximum(du, 0.0) ** 2 + np.maximum(dv, 0.0) ** 2)
        return outside + np.minimum(np.maximum(du, dv), 0.0) - corner

    return Shape(distance, math.hypot(half_u, half_v) + math.hypot(u, v))


def capsule(start: Point, end: Point, half_width: float) -> Shape:
    """Return a line from start to end with round ends."""
    along_u, along_v = end[0] - start[0], end[1] - start[1]
    length_squared = along_u**2 + along_v**2 + 1e-9

    def distance(us: Field, vs: Field) -> Field:
        du, dv = us - start[0], vs - start[1]
        part = np.clip((du * along_u + dv * along_v) / length_squared, 0.0, 1.0)
        return np.sqrt((du - part * along_u) ** 2 + (dv - part * along_v) ** 2) - half_width

    return Shape(distance, max(math.hypot(*start), math.hypot(*end)) + half_width)


def symmetric(half_outline: Sequence[Point]) -> Shape:
    """Return a shape mirrored in the u axis, convex on either side of it.

    Args:
        half_outline: points with v >= 0 from the front to the back of the shape.
    """
    edges = []
    for (u0, v0), (u1, v1) in zip(half_outline[:-1], half_outline[1:], strict=True):
        length = math.hypot(u1 - u0, v1 - v0)
        edges.append((u0, v0, (v1 - v0) / length, (u0 - u1) / length))

    def distance(us: Field, vs: Field) -> Field:
        sides = np.abs(vs)
        u0, v0, normal_u, normal_v = edges[0]
        result = (us - u0) * normal_u + (sides - v0) * normal_v
        for u0, v0, normal_u, normal_v in edges[1:]:
            np.maximum(result, (us - u0) * normal_u + (sides - v0) * normal_v, out=result)
        return result

    return Shape(distance, max(math.hypot(*point) for point in half_outline))


def dashes(half_length: float, half_width: float, period: float, until: float) -> Shape:
    """Return a dashed line along the u axis, from -until to +until."""

    def distance(us: Field, vs: Field) -> Field:
        du = np.abs(np.mod(us, period) - period / 2) - half_length
        gap = np.maximum(du, np.abs(vs) - half_width)
        return np.maximum(gap, np.abs(us) - until)

    return Shape(distance, until + half_width)


def union(*shapes: Shape) -> Shape:
    """Return the union of the shapes."""

    def distance(us: Field, vs: Field) -> Field:
        result = shapes[0].distance(us, vs)
        for shape in shapes[1:]:
            result = np.minimum(result, shape.distance(us, vs))
        return result

    return Shape(distance, max(shape.radius for shape in shapes))


def intersection(first: Shape, second: Shape) -> Shape:
    """Return the intersection of two shapes."""

    def distance(us: Field, vs: Field) -> Field:
        return np.maximum(first.distance(us, vs), second.distance(us, vs))

    return Shape(distance, min(first.radius, second.radius))


def outline(shape: Shape, half_width: float) -> Shape:
    """Return a line along the rim of a shape."""

    def distance(us: Field, vs: Field) -> Field:
        return np.abs(shape.distance(us, vs)) - half_width

    return Shape(distance, shape.radius + 1.5 * half_width)


def dilated(shape: Shape, by: float) -> Shape:
    """Return the shape with its rim moved outwards (inwards where `by` is negative)."""

    def distance(us: Field, vs: Field) -> Field:
        return shape.distance(us, vs) - by

    return Shape(distance, shape.radius + 1.5 * max(by, 0.0))


def ring(radius: float, half_width: float, u: float = 0.0, v: float = 0.0) -> Shape:
    """Return a circular line around (u, v)."""
    return outline(disc(radius, u, v), half_width)
