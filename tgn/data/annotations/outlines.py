"""Geometry of the polygons in labels: area, whether corners are in order, and four of them."""

import numpy as np
from scipy.spatial import ConvexHull

from tgn.data.annotations.types import Polygon

Point = tuple[float, float]


def polygon_area(polygon: Polygon) -> float:
    """Return the area of a polygon that does not cross itself, in square pixels."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2


def crosses_itself(polygon: Polygon) -> bool:
    """Return whether opposite edges of a quadrilateral cross; False for other polygons.

    Of others nothing but the rectangle round them is used, which does not depend on the order.
    """
    if len(polygon) != 4:
        return False
    a, b, c, d = polygon
    return _cross(a, b, c, d) or _cross(b, c, d, a)


def four_corners(polygon: Polygon) -> Polygon:
    """Return a quadrilateral as it is, and of another outline the smallest rectangle round it.

    One side of that rectangle lies on an edge of the convex hull (Freeman and Shapira 1975).

    Args:
        polygon: three corners or more, not on a line.
    """
    if len(polygon) == 4:
        return polygon
    points = np.array(polygon)
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    axes = np.stack((along, np.stack((-along[:, 1], along[:, 0]), axis=1)), axis=1)  # [E, 2, 2]
    places = axes @ hull.T  # along and across each edge, [E, 2, H]
    least, most = places.min(axis=2), places.max(axis=2)
    best = (most - least).prod(axis=1).argmin()
    (left, top), (right, bottom) = least[best], most[best]
    corners = np.array(((left, top), (right, top), (right, bottom), (left, bottom)))
    return tuple((float(x), float(y)) for x, y in corners @ axes[best])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the segments ab and cd cross at an inner point of both."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, c: Point) -> float:
    """Return a number whose sign tells on which side of the line ab the point c lies."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
