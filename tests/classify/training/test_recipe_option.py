"""classify train --recipe: a named recipe beneath what is set explicitly."""

import pytest

from classify.training.recipes import BASES, BEST, default_recipe, trained_name, with_recipe
from classify.training.settings import TrainSettings, recipe_name
from tgn.runtime.errors import UserError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, BEST),
        ({"steps": 5, "seed": 3}, BEST),
        ({"arch": "tiny"}, None),
        ({"weights": "none"}, None),
        ({"loss": "focal"}, None),
        ({"method": "t2fts"}, None),
        ({"start": "random"}, None),
        ({"second_stage": "crt"}, None),
    ],
)
def test_the_default_is_the_best_one_where_nothing_else_is_chosen(given, expected):
    assert default_recipe(TrainSettings(**given)) == expected


@pytest.mark.parametrize("name", [name for name, one in BASES.items() if one.probe is None])
def test_every_recipe_is_one_command_and_names_its_classifier(name):
    settings = with_recipe(TrainSettings(), name)
    assert trained_name(settings, name, True) == f"{name}+generated"


def test_what_was_set_explicitly_stays_and_changes_the_name():
    settings = with_recipe(TrainSettings(mixing="none", lr=1e-3), BEST)
    assert (settings.mixing, settings.lr, settings.start) == ("none", 1e-3, "probe")
    assert trained_name(settings, BEST, False) == recipe_name(settings, False) != BEST


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({}, "nothing", "--recipe got 'nothing'; valid: ce, lp-ft, "),
        ({}, "probe", "for probes: classify probe"),
        ({"weights": "none"}, BEST, "recipe lp-ft: start=probe needs pretrained weights"),
    ],
)
def test_what_does_not_go_together_is_said(settings, name, message):
    with pytest.raises(UserError, match=message):
        with_recipe(TrainSettings(**settings), name)
