"""Shapes and canvas: known distances, and coverage that keeps the area."""

import math

import numpy as np
import pytest

from tgn.scenes.canvas import Canvas, Pose
from tgn.scenes.noise import smooth_noise
from tgn.scenes.shapes import box, capsule, disc, ellipse, intersection, outline, symmetric, union

WHITE = np.ones((3, 1, 1), np.float32)


def at(shape, u, v):
    one = np.array([[u]], np.float32), np.array([[v]], np.float32)
    return shape.distance(*one).item()


@pytest.mark.parametrize(
    ("shape", "u", "v", "expected"),
    [
        (disc(1.0), 3.0, 4.0, 4.0),
        (disc(1.0, u=3.0, v=4.0), 3.0, 4.0, -1.0),
        (box(2.0, 1.0), 3.0, 0.0, 1.0),
        (box(2.0, 1.0, corner=0.5), 2.0, 0.0, 0.0),
        (capsule((-1.0, 0.0), (1.0, 0.0), 0.5), 2.0, 0.0, 0.5),
        (ellipse(2.0, 1.0), 0.0, 1.0, 0.0),
        (outline(disc(1.0), 0.25), 1.5, 0.0, 0.25),
        (union(disc(1.0), box(3.0, 0.5)), 2.0, 0.0, -0.5),
        (intersection(disc(1.0), box(3.0, 0.5)), 0.0, 0.0, -0.5),
        (symmetric(((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))), 0.0, -2.0, math.sqrt(0.5)),
    ],
)
def test_known_distances(shape, u, v, expected):
    assert at(shape, u, v) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_painted_area_does_not_depend_on_the_angle(angle):
    canvas = Canvas(64, np.random.default_rng(0))
    canvas.fill(box(0.6, 0.3), Pose(0.05, -0.1, angle, 0.9), WHITE)

    area = canvas.downsampled()[0].mean() * 4.0

    assert area == pytest.approx(1.2 * 0.6 * 0.81, rel=0.01)


def test_shapes_off_the_chip_and_shadows():
    canvas = Canvas(32, np.random.default_rng(0))
    canvas.fill(disc(0.2), Pose(5.0, 5.0, 0.0, 1.0), WHITE)
    assert canvas.pixels.max() == 0.0

    canvas.pixels[:] = 1.0
    canvas.cast_shadow(disc(0.3), Pose(0.0, 0.0, 0.0, 1.0), 0.2)
    rows, columns = np.nonzero(canvas.pixels[0] < 1.0)
    middle = np.array([columns.mean(), rows.mean()]) * 2.0 / canvas.side - 1.0
    np.testing.assert_allclose(middle, 0.2 * np.array(canvas.sun), atol=0.03)


def test_noise_is_smooth_and_bounded():
    field = smooth_noise(np.random.default_rng(0), 96, 4)

    assert field.shape == (96, 96)
    assert field.min() >= 0.0
    assert field.max() <= 1.0
    assert np.abs(np.diff(field, axis=0)).max() < 1.5 * 4 / 96 * 1.1
