"""Commands as the published code has them: numbered folders, and the paper's recipe by name."""

import importlib
from pathlib import Path

import pytest
import yaml
from layout_support import fill
from tests_support import Command, in_process

from classify.cli.main import main as classify_main
from classify.training.settings import TrainSettings
from tgn.cli.main import main
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.presets import COMMANDS, preset_values
from tgn.scoring.settings import ScoreSettings

PAPER = [
    *(("tgn", name) for name in ("SplitSettings", "DistillSettings")),
    *(("tgn", name) for name in ("CdtgTrainSettings", "CdtgSampleSettings")),
    ("classify", "TrainSettings"),
]


@pytest.fixture
def tgn(monkeypatch, capsys) -> Command:
    return in_process(main, monkeypatch, capsys)


@pytest.fixture
def numbered_run(in_tmp, tgn) -> Path:
    """A run of the class folders 0, 1 and 2, of which 0 is head."""
    data = fill(in_tmp / "d", 1, **{"0": 10, "1": 8, "2": 6})
    assert tgn("split", str(data), "--set", "names=dior").code == 0
    return data


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0", "class '1' (airport), place 0 in the tail, as published; class folder '0' is"),
        ("1", "class '2' (baseball field), place 1 in the tail, as published; class folder '1'"),
        ("2", "class '2' (baseball field)\n"),
        ("folder:0", "class '0' (airplane)\n"),
        ("folder:1", "class '1' (airport)\n"),
    ],
)
def test_a_number_is_the_place_in_the_tail_and_it_is_said(numbered_run, tgn, given, meant):
    words = ("--class", given, "--noise", "0.05", "--n", "7000", "--dry-run")
    done = tgn("generate", *words)
    assert f"--class {given} is {meant}" in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: no trained generator")


def test_the_recipe_of_the_paper_is_shown_before_it_is_run(numbered_run, tgn, monkeypatch, capsys):
    distill = tgn("distill", "--config", "paper", "--dry-run").stdout
    assert 'arch: "resnet50"' in distill
    assert "size: 224" in distill
    assert "size: 256" in tgn("train", "--config", "paper", "--dry-run").stdout
    fewer = tgn("train", "--config", "paper", "--set", "steps=7", "--dry-run").stdout
    assert "steps: 7 " in fewer
    assert "batch_size: 8 " in fewer
    classify = in_process(classify_main, monkeypatch, capsys)
    trained = classify("train", "--config", "paper", "--dry-run").stdout
    assert all(line in trained for line in ('arch: "resnet50"', "size: 224", "epochs: 50"))
    settings = CdtgSampleSettings.joined(preset_values(CdtgSampleSettings, "paper"))
    assert (settings.n, settings.noise) == (7000, 0.05)


def test_a_preset_that_does_not_fit_is_refused_and_a_file_of_its_name_wins(numbered_run, tgn):
    for words in (("score",), ("train", "--backend", "diffusion")):
        refused = tgn(*words, "--config", "paper", "--dry-run")
        assert (refused.code, "nothing for this command; it is for" in refused.stderr) == (2, True)
    unknown = tgn("distill", "--config", "papers", "--dry-run")
    assert (unknown.code, "no settings file papers" in unknown.stderr) == (2, True)
    Path("paper").write_text("steps: 11\n")
    assert "steps: 11 " in tgn("distill", "--config", "paper", "--dry-run").stdout


def test_every_entry_of_the_presets_is_of_settings_that_take_it():
    classes = {one.__name__: one for one in (DistillSettings, CdtgTrainSettings, TrainSettings)}
    for package, name in PAPER:
        root = Path(importlib.import_module(package).__file__).parent
        known = yaml.safe_load((root / "presets/paper.yaml").read_text())
        assert set(known) == {COMMANDS, *(entry for where, entry in PAPER if where == package)}
        if name in classes:
            classes[name].joined(preset_values(classes[name], "paper"))
    assert preset_values(ScoreSettings, "nothing") is None
