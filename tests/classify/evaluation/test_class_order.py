"""A classifier of other classes than the run's is refused with the difference."""

import pytest

from classify.evaluation.class_order import check_classes
from tgn.runtime.errors import UserError


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("abcdegf", "in another order: its number 5 is g, that of the run f"),
        ("abcdef", r"lacks the classes g \(it has 6, the run 7\)"),
        ("abcdefgh", r"has the classes h \(it has 8"),
        ("abcdefx", "lacks the classes g and has the classes x"),
        ("tuvwxyz", "lacks the classes a, b, c, d, ... and has the classes t, u, v, w, ..."),
    ],
)
def test_the_difference_is_named(own, said):
    with pytest.raises(UserError, match=said):
        check_classes("teacher t.safetensors", own, "abcdefg")


def test_the_same_classes_pass():
    check_classes("teacher t.safetensors", ("a", "b"), ["a", "b"])
