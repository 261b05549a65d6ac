"""Geometry of the polygons in labels: their area, and whether four corners are in order."""

from tgn.data.annotations.types import Polygon

Point = tuple[float, float]


def polygon_area(polygon: Polygon) -> float:
    """Return the area of a polygon that does not cross itself, in square pixels."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2


def crosses_itself(polygon: Polygon) -> bool:
    """Return whether opposite edges of a quadrilateral cross; False for other polygons.

    Only quadrilaterals are labels of rotated boxes; of others the upright box alone is used.
    """
    if len(polygon) != 4:
        return False
    a, b, c, d = polygon
    return _cross(a, b, c, d) or _cross(b, c, d, a)


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the segments ab and cd cross at an inner point of both."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, c: Point) -> float:
    """Return a number whose sign tells on which side of the line ab the point c lies."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
