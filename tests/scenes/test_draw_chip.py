"""Chips: the same bytes from the same stream, every size, classes that differ."""

import numpy as np
import pytest

from tgn.runtime.errors import UserError
from tgn.scenes.draw import CLASS_NAMES, draw_chip


@pytest.mark.parametrize("class_name", CLASS_NAMES)
@pytest.mark.parametrize("size", [32, 48, 96])
def test_every_class_at_every_size(class_name, size):
    chip = draw_chip(class_name, np.random.default_rng(size), size)

    assert chip.shape == (size, size, 3)
    assert chip.dtype == np.uint8
    assert chip.std() > 4


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_same_stream_same_bytes_whatever_was_drawn_before(class_name):
    first = draw_chip(class_name, np.random.default_rng(7), 32)
    draw_chip("harbour", np.random.default_rng(8), 48)
    again = draw_chip(class_name, np.random.default_rng(7), 32)
    other = draw_chip(class_name, np.random.default_rng(9), 32)

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_classes_differ_by_what_they_are():
    def mean_colour(class_name):
        chips = [draw_chip(class_name, np.random.default_rng(i), 32) for i in range(30)]
        return np.stack(chips)[:, 8:24, 8:24].mean(axis=(0, 1, 2))

    ship, diamond, pool = map(mean_colour, ("ship", "baseball_diamond", "swimming_pool"))

    assert ship[2] > ship[0]
    assert pool[2] > pool[0] + 15
    assert diamond[0] > diamond[2] + 15


def test_drawing_draws_nothing_from_the_global_generator():
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy state is what is watched
    draw_chip("aircraft", np.random.default_rng(0), 32)

    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_small_size_and_unknown_class_are_refused():
    with pytest.raises(UserError, match="32 pixels or more"):
        draw_chip("ship", np.random.default_rng(0), 31)
    with pytest.raises(UserError, match="take one of aircraft, ship"):
        draw_chip("submarine", np.random.default_rng(0), 32)
