"""A comparison whose split or images have been replaced is not mixed with old trainings."""

import pytest
from tests_support import Warned, write_generated

from classify.comparison import sweep
from classify.comparison.compare import ComparisonPlan, compare, planned_trainings
from classify.training.layout import METRICS
from classify.training.settings import TrainSettings
from tgn.data.made_from import made_from
from tgn.data.split import read_split, write_split
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of, write_json
from tgn.runtime.progress import Silent

METRIC = dict.fromkeys(("balanced", "head", "tail", "many", "medium", "few", "overall"), 0.5)


@pytest.fixture
def trained(monkeypatch):
    """The folders of trainings, which here do no more than write their metrics."""
    folders = []

    def write(run, job, settings, progress):
        folders.append((job.directory.name, job.resume))
        found = {**METRIC, "macro_f1": 0.5, "per_class": []}
        write_json(job.directory / METRICS, found)
        return found

    monkeypatch.setattr(sweep, "train_classifier", write)
    return folders


@pytest.fixture
def plan(fake_run):
    return ComparisonPlan(("ce", "ce+generated"), 1, write_generated(fake_run, label=3, count=2))


def run_all(run, plan, progress=None):
    return compare(run, plan, TrainSettings(), progress or Silent())


def change_split(run):
    split = read_split(run.split_file)
    write_split(run.split_file, split.model_copy(update={"test": split.test[1:]}))


def test_trainings_of_another_split_are_repeated(fake_run, plan, trained):
    for _ in range(2):
        run_all(fake_run, plan)
    assert len(trained) == 2
    change_split(fake_run)
    progress = Warned()
    run_all(fake_run, plan, progress)
    assert len(progress.said) == 2
    assert "ce-seed0 begins anew: it was of another split" in progress.said[0]
    assert trained[2:] == [("ce-seed0", False), ("ce+generated-seed0", False)]


def test_finished_trainings_of_an_older_version_count(fake_run, plan, trained):
    run_all(fake_run, plan)
    for record in fake_run.comparison.glob(f"*/{sweep.RECORD}"):
        content = read_json(record)
        del content["split"]
        write_json(record, content)
    run_all(fake_run, plan)
    assert len(trained) == 2


def test_the_table_says_what_it_is_made_from(fake_run, plan, trained):
    table = run_all(fake_run, plan)
    assert table["made_from"] == made_from(fake_run, "split", "images")
    metrics = fake_run.comparison / "ce-seed0" / METRICS
    assert table["first_metrics"]["ce"] == sha256_of(metrics)
    assert run_all(fake_run, ComparisonPlan(("ce",), 1, plan.augmented))["made_from"].keys() == {
        "split"
    }


@pytest.mark.parametrize("change", [change_split, lambda run: write_generated(run, 3, 4)])
def test_what_is_replaced_between_two_trainings_ends_the_comparison(
    fake_run, plan, trained, change
):
    planned = planned_trainings(fake_run, plan, TrainSettings())
    change(fake_run)
    with pytest.raises(UserError, match="were changed while they were compared; run the same"):
        sweep.train_once(fake_run, planned[1], Silent())
    assert trained == []
