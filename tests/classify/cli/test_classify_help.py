"""Help of ``classify``: at once, on one screen, with the settings behind ``--help-settings``."""

import pytest
from help_support import (
    Ran,
    assert_help_is_light_and_short,
    commands_of,
    help_of_all,
    run_program,
    verbs_with_settings,
)

from classify.cli.verbs import app

WITH_SETTINGS = list(verbs_with_settings(app))


@pytest.fixture(scope="module")
def helps() -> dict[str, Ran]:
    return help_of_all("classify", app)


@pytest.mark.parametrize("words", list(commands_of(app)), ids=" ".join)
def test_help_is_light_and_short(words, helps):
    assert_help_is_light_and_short(helps[" ".join(words)])


def test_settings_are_listed_without_what_verbs_need():
    assert WITH_SETTINGS == [["train"], ["probe"], ["compare"], ["multilabel"], ["detect", "train"]]
    ran = run_program("classify", *([*words, "--help-settings"] for words in WITH_SETTINGS))
    assert [one.code for one in ran] == [0] * len(WITH_SETTINGS)
    assert ran[-1].imported == []
    lines = [line for one in ran for line in one.stdout.splitlines()]
    names = [line.split()[0] for line in lines if line.strip()]
    assert names.count("sampling") == 4
    assert {"loss_options.ldam_margin", "lsh.num_hashes", "detector"} <= {*names}
