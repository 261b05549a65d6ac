"""Help of ``tgn``: at once, on one screen, with the settings behind ``--help-settings``."""

import pytest
from help_support import (
    Ran,
    assert_help_is_light_and_short,
    commands_of,
    help_of_all,
    run_program,
    verbs_with_settings,
)
from tests_support import Command, in_process

from tgn.backends import backend
from tgn.cli import main as cli
from tgn.cli.verbs import app
from tgn.runtime.settings_table import setting_rows
from tgn.scenes.settings import ImagesSettings, ScenesSettings
from tgn.scoring.settings import FilterSettings, UseFilterSettings

WITH_SETTINGS = list(verbs_with_settings(app))


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


@pytest.fixture(scope="module")
def helps() -> dict[str, Ran]:
    return help_of_all("tgn", app)


@pytest.mark.parametrize("words", list(commands_of(app)), ids=" ".join)
def test_help_is_light_and_short(words, helps):
    assert_help_is_light_and_short(helps[" ".join(words)])


def test_settings_are_listed_without_what_verbs_need():
    assert [words[0] for words in WITH_SETTINGS] == [
        "scenes", "chips", "split", "assess", "distill", "train", "generate", "score", "filter"
    ]  # fmt: skip
    ran = run_program("tgn", *([*words, "--help-settings"] for words in WITH_SETTINGS))
    assert [one.code for one in ran] == [0] * len(WITH_SETTINGS)
    assert ran[-1].imported == []
    for setting in ("imbalance", "min_side", "head_fraction", "extractor", "copy_percentile"):
        assert any(setting in one.stdout for one in ran)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["train"], backend("cdtg").train_settings),
        (["train", "--backend", "diffusion"], backend("diffusion").train_settings),
        (["train", "--backend=stable-diffusion"], backend("stable-diffusion").train_settings),
        (["generate"], backend("cdtg").sample_settings),
        (["generate", "--backend", "diffusion"], backend("diffusion").sample_settings),
        (["scenes"], ScenesSettings),
        (["filter"], FilterSettings),
        (["filter", "--by", "use"], UseFilterSettings),
        (["scenes", "--boxes", "rotated"], ImagesSettings),
    ],
)
def test_settings_are_those_that_the_options_choose(tgn, words, settings):
    for order in ([*words, "--help-settings"], [words[0], "--help-settings", *words[1:]]):
        listed = tgn(*order)
        first_words = {line.split()[0] for line in listed.stdout.splitlines() if line.strip()}
        assert listed.code == 0
        assert {row.name for row in setting_rows(settings())} <= first_words
        assert (settings.__doc__ or "").partition("\n")[0].replace("`", "") in listed.stdout


def test_settings_of_an_unknown_backend_are_an_error_in_one_line(tgn):
    wrong = tgn("train", "--help-settings", "--backend", "nope")
    assert (wrong.code, wrong.stderr.count("\n")) == (2, 1)
    assert "cdtg, diffusion, stable-diffusion" in wrong.stderr
