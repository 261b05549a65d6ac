"""Settings of classifiers: free of torch, and old names are understood."""

import subprocess
import sys

import pytest
import yaml
from classify_support import SMALL

from classify.comparison.compare import ComparisonPlan, compare
from classify.comparison.sweep import RECORD
from classify.training import train as train_module
from classify.training.job import TrainingJob
from classify.training.settings import TrainSettings, recorded_settings
from classify.training.train import train_classifier
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Silent

LIGHT = (
    "classify",
    "classify.comparison.settings",
    "classify.losses.settings",
    "classify.methods.settings",
    "classify.probe.settings",
    "classify.training.settings",
    "classify.training.layout",
    "classify.training.recipes",
)
HEAVY = ("torch", "torchvision", "timm", "numpy", "scipy", "matplotlib")
OLD_NAMES = {
    "finish": "second_stage",
    "second.steps": "second_stage_options",
    "second_stage_options.steps": "second_stage_options.steps_fraction",
    "second_stage_options.lr": "second_stage_options.lr_factor",
    "looks": "num_validations",
    "ratio": "generated_ratio",
    "losses.gamma": "loss_options",
    "loss_options.gamma": "loss_options.focal_gamma",
    "loss_options.tau": "loss_options.logit_adjustment_tau",
    "t2fts.memory": "t2fts.ema_decay",
    "lsh.mimic": "lsh.loss",
    "lsh.hashes": "lsh.num_hashes",
    "lsh.warm_up": "lsh.warmup",
}


def with_old_names(settings: dict) -> dict:
    """Return settings as versions before the renaming recorded them."""

    def old(cls, values):
        former = {new: name for name, new in cls.renamed.items()}
        groups = {name: field.annotation for name, field in cls.model_fields.items()}
        return {
            former.get(name, name): old(groups[name], value) if isinstance(value, dict) else value
            for name, value in values.items()
        }

    return old(TrainSettings, settings)


def test_settings_import_nothing_heavy():
    code = f"import sys, {', '.join(LIGHT)}; print(*sorted({{*{HEAVY}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_is_answered_with_the_new_one(old, new):
    with pytest.raises(UserError, match=f"is now called '{new}'") as found:
        TrainSettings.resolve(overrides=[f"{old}=1"])
    assert "\n" not in str(found.value)


def test_recorded_settings_of_an_older_version(tmp_path):
    settings = TrainSettings(second_stage="crt", lsh={"warmup": 0.25}, generated_ratio=0.5)
    file = tmp_path / "settings.yaml"
    old = with_old_names(settings.model_dump(mode="json"))
    assert {"finish", "second", "losses", "looks", "ratio"} <= set(old)
    assert old["lsh"]["warm_up"] == 0.25
    file.write_text(yaml.safe_dump(old))
    assert recorded_settings(file) == settings
    assert recorded_settings(tmp_path / "none.yaml") is None
    for damaged in ("steps: -1\n", "no settings", "a: [", "other: 1\n"):
        file.write_text(damaged)
        assert recorded_settings(file) is None


def test_finished_phases_of_an_older_version_are_not_repeated(fake_run, monkeypatch):
    job = TrainingJob(fake_run.path / "classify" / "crt")
    settings = TrainSettings(**SMALL, second_stage="crt", lr=1e-5)
    train_classifier(fake_run, job, settings, Silent())
    file = job.directory / "first-stage" / "settings.yaml"
    file.write_text(yaml.safe_dump(with_old_names(yaml.safe_load(file.read_text()))))
    trained, real = [], train_module._train_phase

    def spy(context, phase):
        trained.append(phase.name)
        real(context, phase)

    monkeypatch.setattr(train_module, "_train_phase", spy)
    train_classifier(fake_run, job, settings, Silent())
    assert trained == [""]


def test_a_comparison_of_an_older_version_is_continued(fake_run, monkeypatch):
    plan = ComparisonPlan(("ce", "crt"), 1, fake_run.path / "generated")
    settings = TrainSettings(**SMALL)
    table = compare(fake_run, plan, settings, Silent())
    records = list(fake_run.comparison.glob(f"*/{RECORD}"))
    assert len(records) == 2
    for file in records:
        record = read_json(file)
        write_json(file, {**record, "settings": with_old_names(record["settings"])})
    monkeypatch.setattr("classify.comparison.sweep.train_classifier", None)  # not called
    assert compare(fake_run, plan, settings, Silent()) == table
