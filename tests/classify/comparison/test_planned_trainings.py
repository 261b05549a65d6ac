"""What a comparison plans: which generated images stand in the records."""

import re

import pytest
from tests_support import write_generated

from classify.comparison.compare import ComparisonPlan, planned_trainings
from classify.training.settings import TrainSettings
from tgn.data.manifest import fingerprint
from tgn.runtime.errors import NotFoundError

RECIPES = ("ce", "ce+generated", "probe", "probe+generated")


def test_records_of_trainings_and_probes_have_the_generated_images_in_use(fake_run):
    folder = write_generated(fake_run, label=3, count=2)
    plan = ComparisonPlan(RECIPES, 2, folder)
    planned = planned_trainings(fake_run, plan, TrainSettings())
    found = [one.made_with["generated"] for one in planned]
    now = fingerprint(folder, fake_run.split())
    assert found == ["", "", now, now, "", "", now, now]


def test_trainings_say_how_they_use_generated_images(fake_run):
    """Those of an older version, which used them otherwise, are not taken as finished."""
    plan = ComparisonPlan(RECIPES, 1, write_generated(fake_run, label=3, count=2))
    planned = planned_trainings(fake_run, plan, TrainSettings())
    assert ["use_of_generated" in one.made_with for one in planned] == [False, True, False, False]


@pytest.mark.parametrize("recipe", ["ce+generated", "probe+generated"])
def test_a_recipe_without_its_generated_images_is_named(fake_run, tmp_path, recipe):
    plan = ComparisonPlan(("ce", recipe), 1, tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=rf"recipe {re.escape(recipe)}: .*tgn generate"):
        planned_trainings(fake_run, plan, TrainSettings())
