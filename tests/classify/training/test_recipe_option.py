"""classify train --recipe: a named recipe beneath what is set explicitly."""

import pytest

from classify.training.recipe_names import recipe_name, trained_name
from classify.training.recipes import (
    BASES,
    BEST,
    LP_FT,
    default_recipe,
    with_recipe,
    with_recipe_over,
)
from classify.training.settings import TrainSettings
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
        ({"loss": "ce"}, None),
        ({"mixing": "none"}, None),
        ({"sampling": "random"}, None),
        ({"method": "plain"}, None),
        ({"tuning": "all"}, None),
        ({"balance": None}, None),
        ({"lr": 1e-3, "augmentation": "trivial"}, BEST),
    ],
)
def test_the_default_is_the_best_one_where_nothing_else_is_chosen(given, expected):
    assert default_recipe(given) == expected


@pytest.mark.parametrize("name", [name for name, one in BASES.items() if one.probe is None])
def test_every_recipe_is_one_command_and_names_its_classifier(name):
    settings = with_recipe({}, name)
    assert trained_name(settings, name, True) == f"{name}+generated"


def test_what_was_set_explicitly_stays_and_changes_the_name():
    settings = with_recipe({"mixing": "none", "lr": 1e-3}, BEST)
    assert (settings.mixing, settings.lr, settings.start) == ("none", 1e-3, "probe")
    assert trained_name(settings, BEST, False) == recipe_name(settings, False) != BEST


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        ({}, "nothing", "--recipe got 'nothing'; valid: ce, lp-ft, "),
        ({}, "probe", "for probes: classify probe"),
        ({"weights": "none"}, BEST, "recipe lp-ft: start=probe needs pretrained weights"),
        (
            {"augmentation": "none"},
            BEST,
            "recipe lp-ft: smallest_crop got augmentation=none; .*smallest_crop=null",
        ),
    ],
)
def test_what_does_not_go_together_is_said(settings, name, message):
    with pytest.raises(UserError, match=message):
        with_recipe(settings, name)


def test_a_group_is_joined_with_that_of_the_recipe():
    settings = with_recipe({"second_stage_options": {"lr_factor": 0.1}}, "los")
    options = settings.second_stage_options
    assert (options.label_smoothing, options.lr_factor) == (0.98, 0.1)
    assert trained_name(settings, "los", False) == "los"


def test_what_is_given_is_checked_together_with_the_recipe_beneath():
    assert with_recipe({"adapter_size": 16}, "adapters").adapter_size == 16
    settings = with_recipe({"augmentation": "none", "smallest_crop": None}, BEST)
    assert (settings.augmentation, settings.start) == ("none", "probe")


def test_only_the_whole_recipe_has_its_name():
    whole = TrainSettings(**LP_FT)
    assert recipe_name(whole, False).startswith("lp-ft+")
    for change in ({"lr": 1e-3}, {"freeze_norm": False}, {"loss": "ce"}):
        settings = whole.with_changes(change)
        assert recipe_name(settings, False).startswith("from-probe")
        assert trained_name(settings, BEST, False).startswith("from-probe")
    assert trained_name(with_recipe({"loss": "focal"}, "crt"), "crt", False) == "focal+crt"


@pytest.mark.parametrize("name", [name for name in BASES if name != "los"])  # needs all it sets
def test_a_computed_name_is_that_of_a_recipe_only_with_all_its_settings(name):
    for left_out in BASES[name].settings:
        rest = {key: value for key, value in BASES[name].settings.items() if key != left_out}
        computed = recipe_name(TrainSettings().with_changes(rest), False)
        others = [one for one in BASES if one == computed]
        assert all(BASES[one].settings.items() <= rest.items() for one in others), computed
    assert recipe_name(TrainSettings(method="kmdn"), True) == "kmdn+random+generated"


def test_a_comparison_refuses_what_a_recipe_would_overwrite():
    with pytest.raises(UserError, match=r"^recipe lp-ft: sets lr=0.0001, but 0.001 was given"):
        with_recipe_over(TrainSettings(lr=1e-3), BEST)
    given = TrainSettings(second_stage="crt", second_stage_options={"label_smoothing": 0.5})
    with pytest.raises(UserError, match=r"recipe los: sets second_stage_options.label_smoothing="):
        with_recipe_over(given, "los")
    with pytest.raises(UserError, match=r"sets generated_ratio=0.5, but 2.0 was given"):
        with_recipe_over(TrainSettings(generated_ratio=2), "ce+generated@0.5")
    with pytest.raises(UserError, match=r"^recipe ldam-drw: label_smoothing got loss=ldam"):
        with_recipe_over(TrainSettings(label_smoothing=0.1), "ldam-drw")
    with pytest.raises(UserError, match=r"^recipe ce: sets loss=ce, but focal was given"):
        with_recipe_over(TrainSettings(loss="focal"), "ce")  # a row named ce would be focal loss
    same = with_recipe_over(TrainSettings(lr=1e-4, second_stage_options={"lr_factor": 2}), BEST)
    assert (same.lr, same.second_stage_options.lr_factor) == (1e-4, 2)


def test_norms_are_frozen_where_there_are_any():
    vit = {"arch": "test_vit", "weights": "some.safetensors"}
    assert not with_recipe({**vit, "size": 32}, BEST).freeze_norm
    assert trained_name(with_recipe(vit, BEST), BEST, False) == BEST
    assert not with_recipe_over(TrainSettings(**vit), BEST).freeze_norm
    assert with_recipe({}, BEST).freeze_norm
