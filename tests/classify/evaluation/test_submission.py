"""Results of a contest: ids and classes, and classes that are predicted at most so often."""

import csv
import io
import json

import pytest
import torch
from conftest import draw_shape
from tests_support import TINY, Command, in_process

from classify.cli import main as cli
from classify.evaluation.predict import Prediction
from classify.evaluation.prior_shift import capped_assignment, parse_caps
from classify.evaluation.submission import submission_rows
from tgn.runtime.errors import UserError

SMALL = [*TINY, "--set", "steps=2", "--set", "size=16", "--device", "cpu"]


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_the_surest_images_keep_a_capped_class_by_hand():
    probabilities = torch.tensor(
        [
            [0.90, 0.06, 0.04],
            [0.60, 0.30, 0.10],  # leaves class 0, its second best is 1
            [0.70, 0.10, 0.20],
            [0.50, 0.05, 0.45],  # leaves class 0 for 2
            [0.30, 0.60, 0.10],  # of the two of class 1 the surer one
        ]
    )
    assert capped_assignment(probabilities, {0: 2}) == [0, 1, 0, 2, 1]
    # The image that leaves class 1 prefers class 0, which is full.
    assert capped_assignment(probabilities, {0: 2, 1: 1}) == [0, 2, 0, 2, 1]
    assert capped_assignment(probabilities, {2: 3}) == probabilities.argmax(1).tolist()
    assert capped_assignment(probabilities, {0: 0, 1: 5, 2: 0}) == [1] * 5


def test_no_class_is_above_its_cap_and_the_others_are_free():
    draw = torch.Generator().manual_seed(0)
    tilt = torch.tensor([4.0, 3, 2, 1, 0, 0])
    probabilities = (torch.randn(300, 6, generator=draw) + tilt).softmax(1)
    caps = {0: 30, 1: 30, 2: 30}
    counts = torch.bincount(torch.tensor(capped_assignment(probabilities, caps)), minlength=6)
    assert counts[:3].tolist() == [30, 30, 30]
    assert counts.sum() == 300
    every = {0: 10, 1: 20, 2: 30, 3: 40, 4: 90, 5: 110}  # exactly as many places as images
    counts = torch.bincount(torch.tensor(capped_assignment(probabilities, every)), minlength=6)
    assert counts.tolist() == list(every.values())
    with pytest.raises(UserError, match="leave place for 299 of 300"):
        capped_assignment(probabilities, {**every, 5: 109})


@pytest.mark.parametrize("text", ["0:85", "0=85,0=3", "9=1", "0=-1", "0=", "=3", "0=85,"])
def test_caps_of_another_form_are_refused(text):
    assert parse_caps("1=85, a=b=3", ["0", "1", "a=b"]) == {1: 85, 2: 3}
    with pytest.raises(UserError, match=r"--class-caps got .*, expected CLASS=N"):
        parse_caps(text, ["0", "1"])


def test_two_images_of_one_id_are_named(tmp_path):
    two = [Prediction(tmp_path / f"{name}.png", (("0", 1.0),)) for name in ("EO_7", "SAR_7")]
    with pytest.raises(UserError, match="two images have the id 7"):
        list(submission_rows(two, ["0"], None))


def test_the_table_of_a_contest(fake_run, run_cli, in_tmp):
    assert run_cli("train", "--run", "fake", "--name", "kd", *SMALL).code == 0
    (in_tmp / "final").mkdir()
    for number in range(12):
        draw_shape(number % 4, number, 32).save(in_tmp / "final" / f"EO_{100 + number}.png")
    common = ("predict", "final", "--run", "fake", "--device", "cpu")

    def table(*options):
        done = run_cli(*common, "--csv", *options)
        assert done.code == 0, done.stderr
        header, *rows = csv.reader(io.StringIO(done.stdout))
        assert header == ["image_id", "class_id"]
        return dict(rows)

    plain = table()
    assert list(plain) == [str(100 + number) for number in range(12)]
    shown = [json.loads(line) for line in run_cli(*common, "--json").stdout.splitlines()]
    assert list(plain.values()) == [next(iter(row["classes"])) for row in shown]
    first = max(plain.values(), key=list(plain.values()).count)
    capped = table("--class-caps", f"{first}=2")
    assert list(capped.values()).count(first) == 2
    assert {k: v for k, v in plain.items() if v != first}.items() <= capped.items()


def test_options_without_effect_together_are_refused(fake_run, run_cli):
    for options, message in (
        (("--csv", "--json"), "--csv got --json too"),
        (("--csv", "--top", "2"), "--csv got --top too"),
        (("--class-caps", "disc=2"), "--class-caps got no --csv"),
    ):
        done = run_cli("predict", "x", *options)
        assert (done.code, message in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_an_evaluation_with_caps_is_reported_apart(fake_run, run_cli):
    assert run_cli("train", "--run", "fake", "--name", "kd", *SMALL).code == 0
    done = run_cli("evaluate", "--run", "fake", "--class-caps", "square=1,disc=1")
    assert done.code == 0, done.stderr
    assert "no class predicted above its cap" in done.stdout
    result = json.loads((fake_run.classifiers / "kd" / "evaluation.json").read_text())
    folders = [row["folder"] for row in result["per_class"]]
    confusion = torch.tensor(result["with_class_caps"]["confusion"])
    predicted = dict(zip(folders, confusion.sum(0).tolist(), strict=True))
    assert predicted["square"] <= 1
    assert predicted["disc"] <= 1
    assert confusion.sum() == result["n"]
