"""Help of ``classify``: at once, on one screen, with the settings behind ``--help-settings``."""

import pytest
from help_support import (
    assert_help_is_light_and_short,
    commands_of,
    run_program,
    verbs_with_settings,
)

from classify.cli.verbs import app

WITH_SETTINGS = list(verbs_with_settings(app))


@pytest.mark.parametrize("words", list(commands_of(app)), ids=" ".join)
def test_help_is_light_and_short(words):
    assert_help_is_light_and_short("classify", words)


def test_settings_are_listed_without_what_verbs_need():
    assert WITH_SETTINGS == [["train"], ["probe"], ["compare"], ["multilabel"], ["detect", "train"]]
    ran = run_program("classify", *([*words, "--help-settings"] for words in WITH_SETTINGS))
    assert ran.codes == [0] * len(WITH_SETTINGS)
    assert ran.imported == []
    names = [line.split()[0] for line in ran.stdout.splitlines() if line.strip()]
    assert names.count("sampling") == 4
    assert {"loss_options.ldam_margin", "lsh.num_hashes", "detector"} <= {*names}
