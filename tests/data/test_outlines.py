"""Four corners of labelled outlines: quadrilaterals as they are, else the smallest rectangle."""

import math

import numpy as np
import pytest
from shapely.geometry import Polygon

from tgn.data.annotations.outlines import four_corners


def test_four_corners_stay_as_they_are():
    given = ((0.0, 0.0), (9.0, 1.0), (8.0, 4.0), (0.0, 3.0))
    assert four_corners(given) == given


@pytest.mark.parametrize("count", [3, 5, 12])
def test_the_rectangle_round_another_outline_is_the_smallest(count):
    rng = np.random.default_rng(count)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * math.pi, count))
        radii = rng.uniform(5, 20, (count, 1))  # not convex
        points = 300 + radii * np.stack((2 * np.cos(angles), np.sin(angles)), axis=1)
        outline = Polygon(points)
        found = Polygon(four_corners(tuple(map(tuple, points))))
        assert found.area == pytest.approx(outline.minimum_rotated_rectangle.area)
        assert found.buffer(1e-6).contains(outline)
        assert found.minimum_rotated_rectangle.area == pytest.approx(found.area)  # right angles
