"""A training is taken as done, or gone on with, only if it learned from the same things."""

import json

import pytest
import torch
from classify_support import SMALL
from tests_support import write_generated

from classify.comparison import sweep
from classify.comparison.compare import ComparisonPlan, compare
from classify.training import train as train_module
from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings
from classify.training.train import train_classifier
from tgn.models.backbones import build_backbone, save_classifier
from tgn.runtime.checkpoints import load_state, save_state
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of, write_json
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import STATE


def train(run, name, augmented=None, teacher=None, left_out=(), **changes):
    folder = run.path / "classify" / name
    job = TrainingJob(folder, augmented, left_out=frozenset(left_out), teacher=teacher)
    settings = TrainSettings.model_validate({**SMALL, **changes})
    return train_classifier(run, job, settings, Silent())


def network(run, file, seed=0):
    torch.manual_seed(seed)
    folders = tuple(entry.folder for entry in run.split().classes)
    save_classifier(file, build_backbone(TrainSettings.model_validate(SMALL), folders))
    return file


def test_new_generated_images_are_not_passed_over(fake_run):
    folder = write_generated(fake_run, label=3, count=3)
    train(fake_run, "x", folder)
    assert train(fake_run, "x", folder)["generated_images"] == 3
    write_generated(fake_run, label=3, count=5)
    with pytest.raises(UserError, match=r"\(generated differ\).*--no-resume"):
        train(fake_run, "x", folder)
    with pytest.raises(UserError, match=r"\(generated, use_of_generated differ\)"):
        train(fake_run, "x")


def test_another_teacher_is_not_passed_over(fake_run):
    teacher = network(fake_run, fake_run.path / "teacher.safetensors")
    train(fake_run, "x", teacher=teacher, method="logit-kd")
    train(fake_run, "x", teacher=teacher, method="logit-kd")
    network(fake_run, teacher, seed=1)
    with pytest.raises(UserError, match=r"\(teacher differ\)"):
        train(fake_run, "x", teacher=teacher, method="logit-kd")


def test_another_tgn_distill_is_not_passed_over(fake_run):
    for name in ("head", "tail"):
        network(fake_run, fake_run.path / "kmdn" / f"{name}.safetensors")
    train(fake_run, "x", method="kmdn")
    network(fake_run, fake_run.path / "kmdn" / "tail.safetensors", seed=1)
    with pytest.raises(UserError, match=r"\(tail teacher differ\)"):
        train(fake_run, "x", method="kmdn")
    plan = ComparisonPlan(("kmdn",), 1, fake_run.path / "generated")
    compare(fake_run, plan, TrainSettings.model_validate(SMALL), Silent())
    record = fake_run.comparison / "kmdn-seed0" / sweep.RECORD
    before = read_json(record)
    network(fake_run, fake_run.path / "kmdn" / "tail.safetensors", seed=2)
    compare(fake_run, plan, TrainSettings.model_validate(SMALL), Silent())
    assert read_json(record) != before


def test_another_fold_is_not_passed_over(fake_run):
    files = [file for file, _ in fake_run.split().train]
    train(fake_run, "x", left_out=files[:2])
    with pytest.raises(UserError, match=r"\(left_out differ\)"):
        train(fake_run, "x", left_out=files[2:4])


def test_a_finished_phase_is_repeated_for_other_images_only(fake_run, monkeypatch):
    folder = write_generated(fake_run, label=3, count=3)
    trained, real = [], train_module._train_phase

    def spy(context, phase):
        trained.append(phase.name)
        real(context, phase)

    monkeypatch.setattr(train_module, "_train_phase", spy)
    for _ in range(2):
        train(fake_run, "x", folder, second_stage="crt")
    assert trained == ["first-stage", "", ""]
    write_generated(fake_run, label=3, count=5)
    with pytest.raises(UserError, match=r"first-stage.*\(generated differ\)"):
        train(fake_run, "x", folder, second_stage="crt")


def test_a_state_of_real_images_alone_is_that_of_an_older_version(fake_run):
    train(fake_run, "x", second_stage="crt")
    folder = fake_run.path / "classify" / "x"
    for where in (folder, folder / "first-stage"):
        state = load_state(where / STATE)
        assert json.loads(state.pop("made_from")).keys() == {"split"}
        save_state(where / STATE, state)
        metrics = read_json(where / "metrics.json")
        assert metrics.pop("made_from").keys() == {"split"}
        write_json(where / "metrics.json", metrics)
    before = sha256_of(folder / "classifier.safetensors")
    train(fake_run, "x", second_stage="crt")
    assert sha256_of(folder / "classifier.safetensors") == before


def test_a_comparison_repeats_trainings_at_the_wrong_rate(fake_run, tmp_path):
    weights = str(network(fake_run, tmp_path / "weights.safetensors"))
    settings = TrainSettings.model_validate({**SMALL, "weights": weights})
    plan = ComparisonPlan(("crt", "lws"), 1, fake_run.path / "generated")
    compare(fake_run, plan, settings, Silent())
    factors = {}
    for name in plan.recipes:
        record = read_json(fake_run.comparison / f"{name}-seed0" / sweep.RECORD)
        factors[name] = record["settings"]["head_lr_factor"]
    assert factors == {"crt": 10, "lws": 1}
