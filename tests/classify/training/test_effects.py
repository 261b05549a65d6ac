"""Settings of generated images and of stages that would change nothing are refused."""

from pathlib import Path

import pytest
from tests_support import TINY, Command, in_process, write_generated

from classify.cli import main as cli
from classify.comparison.compare import ComparisonPlan, planned_trainings
from classify.training.effects import STAGES_OF, check_effects
from classify.training.job import TrainingJob
from classify.training.recipes import RECIPES, recipe
from classify.training.settings import TrainSettings
from tgn.runtime.errors import UserError

REAL = TrainingJob(Path("x"))
BOTH = TrainingJob(Path("x"), Path("generated"))
ONLY = TrainingJob(Path("x"), Path("generated"), images="generated-tail")
LEVEL = {"sampling": "class-balanced"}


@pytest.mark.parametrize(
    ("settings", "job", "message"),
    [
        ({**LEVEL, "generated_share": 0.25}, REAL, "generated_share got no generated images; give"),
        ({"generated_until": 0.9}, REAL, "generated_until got no generated images"),
        ({"generated_weight": 0.5}, REAL, "generated_weight got no generated images"),
        ({"generated_ratio": 0.5}, REAL, "generated_ratio got no generated images"),
        ({"generated_share": 0.25}, BOTH, "generated_share got sampling=random"),
        ({**LEVEL, "generated_weight": 0.5}, ONLY, "generated_weight got no real images"),
        (
            {"second_stage_options": {"steps_fraction": 0.5}},
            REAL,
            "got second_stage=none; it needs",
        ),
        (
            {"second_stage": "crt", "second_stage_options": {"norm_limit": 0.5}},
            REAL,
            "norm_limit got second_stage=crt; it needs maxnorm",
        ),
        (
            {"second_stage": "ncm", "second_stage_options": {"tau": 0.5}},
            REAL,
            "tau got second_stage=ncm; it needs tau-norm",
        ),
    ],
)
def test_a_setting_without_an_effect_is_refused(settings, job, message):
    with pytest.raises(UserError, match=message):
        check_effects(TrainSettings(**settings), job)


def test_settings_with_an_effect_are_not():
    chosen = TrainSettings(generated_until=0.9, generated_weight=0.5, generated_ratio=0.5)
    check_effects(chosen, BOTH)
    check_effects(TrainSettings(**LEVEL, generated_share=0.25), BOTH)
    check_effects(TrainSettings(**LEVEL, generated_ratio=0.25), ONLY)
    for name, stages in STAGES_OF.items():
        for stage in stages:
            check_effects(TrainSettings(second_stage=stage, second_stage_options={name: 0.5}), REAL)
    assert set(STAGES_OF) == set(type(TrainSettings().second_stage_options).model_fields)


def test_no_recipe_sets_what_has_no_effect():
    for name, one in RECIPES.items():
        job = TrainingJob(Path("x"), Path("g") if one.generated else None, images=one.images)
        check_effects(TrainSettings().with_changes(recipe(name).settings), job)


def planned(run, *recipes: str, **settings: object):
    chosen = TrainSettings.model_validate({"arch": "tiny", "size": 16, **settings})
    plan = ComparisonPlan(recipes, 1, run.path / "generated")
    return [one.made_with["settings"] for one in planned_trainings(run, plan, chosen)]


def test_in_a_comparison_it_needs_an_effect_in_some_recipe(fake_run):
    write_generated(fake_run, label=3, count=2)
    without, beside = planned(fake_run, "ce", "ce+generated", generated_weight=0.5)
    assert (without["generated_weight"], beside["generated_weight"]) == (1.0, 0.5)
    with pytest.raises(UserError, match="generated_weight got no recipe"):
        planned(fake_run, "ce", "probe+generated", generated_weight=0.5)
    with pytest.raises(UserError, match="generated_share got no recipe in which it has an effect"):
        planned(fake_run, "ce", "ce+generated", generated_share=0.25)
    options = {"second_stage_options": {"steps_fraction": 0.5}}
    without, crt = planned(fake_run, "ce", "crt", **options)
    assert crt["second_stage_options"]["steps_fraction"] == 0.5
    assert without["second_stage_options"]["steps_fraction"] == 0.2
    with pytest.raises(UserError, match="steps_fraction got no recipe in which .* needs crt or"):
        planned(fake_run, "ce", "ncm", **options)


@pytest.mark.parametrize(
    ("recipes", "setting", "value"),
    [
        (("balanced+generated", "ce+generated"), "generated_share", 0.25),
        (("ce+generated", "generated-tail-only"), "generated_weight", 0.5),
    ],
)
def test_a_recipe_that_does_not_read_it_is_trained_without_it(fake_run, recipes, setting, value):
    write_generated(fake_run, label=3, count=2)
    reads, ignores = planned(fake_run, *recipes, **{setting: value})
    assert reads[setting] == value
    assert ignores[setting] == getattr(TrainSettings(), setting)


def test_each_second_stage_takes_its_own_options(fake_run):
    options = {"second_stage_options": {"tau": 0.5, "steps_fraction": 0.5}}
    tau_norm, crt = (
        one["second_stage_options"] for one in planned(fake_run, "tau-norm", "crt", **options)
    )
    neutral = TrainSettings().second_stage_options
    assert (tau_norm["tau"], tau_norm["steps_fraction"]) == (0.5, neutral.steps_fraction)
    assert (crt["tau"], crt["steps_fraction"]) == (neutral.tau, 0.5)


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set", "generated_weight=0.5"], "give --augmented, or leave it out"),
        (["compare", "--recipes", "ce", "--ratio", "0.5"], "--ratio got no recipe with generated"),
        (["compare", "--recipes", "ce", "--augmented", "x"], "--augmented got no recipe with gen"),
    ],
)
def test_commands_refuse_it_before_any_work(fake_run, run_cli, arguments, message):
    done = run_cli(*arguments, *TINY)
    assert (done.code, message in done.stderr, done.stdout) == (2, True, ""), done.stderr


def test_a_sweep_of_ratios_includes_recipes_of_another_name(fake_run, run_cli):
    write_generated(fake_run, label=3, count=2)
    names = ["--recipes", "ce,generated-first", "--ratio", "0.5,1"]
    done = run_cli("compare", *names, *TINY, "--dry-run")
    assert "ce, generated-first@0.5, generated-first@1" in done.stdout, done.stderr
