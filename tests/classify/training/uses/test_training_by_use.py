"""Trainings under each use of generated images: exact after a stop, and what they refuse."""

import pytest
import torch
from classify_support import SMALL, assert_a_stopped_training_goes_on_exactly
from tests_support import TINY, change_rows, in_process, write_generated

from classify.cli import main as cli
from classify.training.job import TrainingJob
from classify.training.recipe_names import trained_name
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from classify.training.uses import soft_labels as room
from classify.training.uses.names import OTHER_USES
from tgn.probe.judge_classifier import JudgeClassifier
from tgn.runtime.progress import Silent

CMO = {"mixing": "cmo", "cmo": {"probability": 1.0, "margin": 0.0}}
NEEDS = {"background": CMO, "pasted": CMO}


@pytest.fixture
def folder(fake_run):
    """Generated images of the smallest class, in turn of two noise ratios."""
    made = write_generated(fake_run, label=3, count=12)
    change_rows(made, 6 * [{"noise": 1.0}, {"noise": 0.5}])
    return made


@pytest.mark.parametrize("use", OTHER_USES)
def test_a_stopped_training_goes_on_exactly(fake_run, folder, weights, use):
    given = {**SMALL, "steps": 4, "save_every": 1, "weights": weights, "generated_use": use}
    chosen = TrainSettings.model_validate({**given, **NEEDS.get(use, {})})
    assert_a_stopped_training_goes_on_exactly(fake_run, chosen, 2, folder)


def test_soft_labels_come_from_a_judge_that_has_not_seen_the_source(
    fake_run, folder, weights, monkeypatch
):
    seen = {}

    def spy(labels, probabilities, real=room.mean_of_labels):
        seen["labels"], seen["probabilities"] = labels, probabilities
        return seen.setdefault("soft", real(labels, probabilities))

    monkeypatch.setattr(room, "mean_of_labels", spy)
    chosen = TrainSettings.model_validate(
        {**SMALL, "weights": weights, "generated_use": "soft", "sampling": "class-balanced"}
    )
    job = TrainingJob(fake_run.path / "classify" / "soft", folder)
    train_classifier(fake_run, job, chosen, Silent())
    assert seen["labels"].tolist() == [3] * 12
    assert seen["probabilities"].shape == (12, 4)
    torch.testing.assert_close(seen["soft"].sum(1), torch.ones(12))
    assert (seen["soft"][:, 3] >= 0.5).all()
    assert (fake_run.feature_cache).is_dir()


def test_the_judge_of_soft_labels_has_not_seen_images_whose_parts_are_in_them(
    fake_run, weights, monkeypatch
):
    seen = {}

    def spy(self, features, made_from, real=JudgeClassifier.probabilities):
        seen["made_from"] = made_from
        return real(self, features, made_from)

    monkeypatch.setattr(JudgeClassifier, "probabilities", spy)
    folder = write_generated(fake_run, label=3, count=3)
    files = [file for file, _ in fake_run.split().train]
    others = [[], [files[4]], [files[1], files[7]]]
    change_rows(folder, [{"source_file": files[9], "other_files": tuple(own)} for own in others])
    chosen = {"weights": weights, "generated_use": "soft", "sampling": "class-balanced"}
    job = TrainingJob(fake_run.path / "classify" / "soft", folder)
    train_classifier(fake_run, job, TrainSettings.model_validate({**SMALL, **chosen}), Silent())
    assert seen["made_from"].tolist() == [[9, -1, -1], [9, 4, -1], [9, 1, 7]]


@pytest.fixture
def run_cli(monkeypatch, capsys):
    return in_process(cli.main, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("generated_use=nothing",), "setting generated_use: got 'nothing'"),
        (("generated_use=pasted",), "generated_use got mixing=none; pasted needs mixing=cmo"),
        (("generated_use=soft", "loss=focal"), "generated_use got loss=focal; soft labels need"),
        (("generated_use=soft", "loss=ldam"), "generated_use got loss=ldam"),
        (("generated_use=features",), "generated_use got a network without pretrained weights"),
        (("generated_use=soft", "method=t2fts"), "got method=t2fts; soft needs method=plain"),
        (("generated_use=first", "generated_weight=2"), "generated_weight got generated_use=first"),
        (
            ("generated_use=first", "generated_share=1", "sampling=class-balanced"),
            "generated_share got generated_use=first",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(fake_run, folder, run_cli, words, message):
    given = [word for setting in words for word in ("--set", setting)]
    done = run_cli("train", "--augmented", *TINY, *given, "--dry-run")
    assert (done.code, message in done.stderr) == (2, True), done.stderr


def test_a_use_needs_generated_images_and_a_curriculum_several_ratios(fake_run, run_cli):
    words = ("train", *TINY, "--set", "generated_use=first", "--dry-run")
    assert "generated_use got no generated images; give --augmented" in run_cli(*words).stderr
    write_generated(fake_run, label=3, count=2)
    names = ("--recipes", "ce,ce+generated-curriculum", "--dry-run")
    done = run_cli("compare", *TINY, *names)
    assert done.code == 2
    assert "recipe ce+generated-curriculum: generated_use=curriculum needs images" in done.stderr


def test_a_comparison_names_uses_by_its_recipes(fake_run, folder, run_cli):
    names = "cmo,cmo+generated-pasted,ce+generated-soft@0.5"
    done = run_cli("compare", *TINY, "--recipes", names, "--dry-run")
    assert done.code == 0, done.stderr
    assert "cmo+generated-pasted: generated images of 1 classes" in done.stdout
    assert "of pasted parts of CMO" in done.stdout
    refused = run_cli("compare", *TINY, "--recipes", names, "--set", "generated_use=soft")
    assert "recipe cmo: sets generated_use=beside, but soft was given" in refused.stderr
    refused = run_cli("compare", *TINY, "--recipes", "ce+generated-pasted", "--dry-run")
    assert "recipe ce+generated-pasted: generated_use got mixing=none" in refused.stderr


def test_gains_are_those_over_the_recipe_without_generated_images(fake_run, folder, run_cli):
    names = "ce,ce+generated-blended@0.5,ce+generated-first"
    done = run_cli("compare", *TINY, "--recipes", names, "--seeds", "1", "--set", "steps=1")
    assert done.code == 0, done.stderr
    text = (fake_run.path / "compare.md").read_text(encoding="utf-8")
    assert "gain over ce by blended@0.5" in text
    assert "gain over ce by first" in text


def test_a_classifier_is_named_by_its_use():
    used = TrainSettings(generated_use="blended")
    assert trained_name(used, None, True) == "ce+generated-blended"
    assert trained_name(used, "ce", True) == "ce+generated-blended"
    assert trained_name(TrainSettings(), "ce", True) == "ce+generated"
