"""Colours of objects in aerial images."""

import numpy as np
from numpy.random import Generator

from tgn.scenes.canvas import Paint

Rgb = tuple[int, int, int]

WHITE: Rgb = (236, 236, 230)
YELLOW: Rgb = (214, 178, 60)
ASPHALTS: tuple[Rgb, ...] = ((78, 79, 82), (98, 97, 96), (118, 116, 113), (138, 134, 128))
CONCRETES: tuple[Rgb, ...] = ((150, 149, 144), (172, 168, 160), (188, 184, 174), (132, 132, 130))
ROOFS: tuple[Rgb, ...] = (
    (150, 84, 66),
    (172, 110, 84),
    (128, 126, 124),
    (96, 98, 104),
    (196, 192, 184),
    (112, 88, 74),
    (84, 108, 130),
)
GREENS: tuple[Rgb, ...] = ((74, 112, 54), (92, 128, 64), (60, 96, 50), (112, 136, 72))
COURTS: tuple[Rgb, ...] = (
    (52, 98, 150),
    (58, 112, 78),
    (164, 84, 60),
    (190, 112, 74),
    (92, 80, 140),
    (70, 130, 146),
    (126, 128, 128),
    (44, 84, 60),
    (146, 62, 66),
)
VEHICLES: tuple[Rgb, ...] = (
    (232, 232, 232),
    (40, 42, 46),
    (150, 152, 156),
    (160, 44, 40),
    (44, 70, 130),
    (200, 190, 160),
)


def random_colour(rng: Generator, *choices: Rgb, spread: float = 10.0) -> Paint:
    """Return one of the colours, changed a little at random.

    Args:
        rng: of the choice and the change.
        choices: colours with parts 0..255.
        spread: standard deviation of the change, 0..255 levels; most of it is common brightness.

    Returns:
        [3, 1, 1] in [0, 1].
    """
    chosen = np.asarray(choices[int(rng.integers(len(choices)))], np.float32)
    moved = chosen + spread * (0.4 * rng.standard_normal(3) + 0.9 * rng.standard_normal())
    return np.clip(moved / 255.0, 0.02, 1.0).astype(np.float32).reshape(3, 1, 1)
