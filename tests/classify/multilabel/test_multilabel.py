"""Several labels an image: the table, the measures, the training, the teacher."""

import csv
import json

import pytest
import torch
from conftest import draw_shape
from tests_support import TINY, Command, in_process
from torchmetrics.functional.classification import (
    multilabel_average_precision,
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from classify.cli import main as cli
from classify.multilabel.data import read_labels
from classify.multilabel.metrics import average_precision_of_class, multi_label_summary
from tgn.models.backbones import load_classifier
from tgn.runtime.errors import DataError

SMALL = [*TINY, "--set", "steps=3", "--set", "size=16", "--set", "batch_size=8", "--device", "cpu"]


@pytest.fixture
def table(in_tmp):
    """Thirty pictures of a square, a disc, or both side by side."""
    (in_tmp / "pictures").mkdir()
    path = in_tmp / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "part", "labels"))
        for i in range(30):
            shown = [("square",), ("disc",), ("square", "disc"), ()][i % 4]
            picture = draw_shape(0, 99, 64).crop((0, 0, 1, 1)).resize((64, 32))
            for place, name in enumerate(shown):
                picture.paste(draw_shape(("square", "disc").index(name), i, 32), (32 * place, 0))
            picture.save(in_tmp / "pictures" / f"{i:02d}.png")
            row = (f"pictures/{i:02d}.png", "test" if i >= 20 else "train", ";".join(shown))
            writer.writerow(row)
    return path


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_measures_equal_torchmetrics():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5, generator=draw)
    labels = (torch.rand(200, 5, generator=draw) < 0.3).float()
    found, target = multi_label_summary(logits, labels), labels.long()
    ap = multilabel_average_precision(logits, target, num_labels=5, average="macro")
    assert found["mAP"] == pytest.approx(float(ap), rel=1e-5)
    for average, letter in (("macro", "C"), ("micro", "O")):
        options = {"num_labels": 5, "average": average}
        p = float(multilabel_precision(logits, target, **options))
        r = float(multilabel_recall(logits, target, **options))
        assert found[f"{letter}P"] == pytest.approx(p, rel=1e-5)
        assert found[f"{letter}R"] == pytest.approx(r, rel=1e-5)
        assert found[f"{letter}F1"] == pytest.approx(2 * p * r / (p + r), rel=1e-5)
    micro = float(multilabel_f1_score(logits, target, num_labels=5, average="micro"))
    assert found["OF1"] == pytest.approx(micro, rel=1e-5)


def test_average_precision_by_hand():
    shown = torch.tensor([True, False, True, False])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.1])
    assert average_precision_of_class(scores, shown) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision_of_class(torch.zeros(4), shown) == pytest.approx(
        0.5
    )  # one cut: all four
    assert average_precision_of_class(scores, torch.zeros(4, dtype=torch.bool)) is None


def test_the_table_is_read_as_it_stands(table):
    data = read_labels(table, 16, 3)
    assert data.classes == ("disc", "square")
    assert len(data.train.images) == 20
    assert data.train.labels[:4].tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file,part", "path,part", "lacks the column 'file'"),
        ("pictures/03.png,train", "pictures/xx.png,train", "line 5: no file"),
        ("pictures/03.png,train", "pictures/03.png,val", "line 5: part is 'val'"),
        ("pictures/03.png", "pictures/02.png", "line 5: pictures/02.png is listed twice"),
        ("29.png,test,disc", "29.png,test,ship", "'ship' is in the test part but"),
        (",test,", ",train,", "has no test images"),
    ],
)
def test_faults_name_their_line(table, old, new, message):
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        read_labels(table, 16, 3)


@pytest.mark.parametrize("name", ["semicolon", "tab", "bom", "crlf", "spaces", "upper", "windows"])
def test_the_table_is_read_as_spreadsheets_write_it(table, name):
    plain, text = read_labels(table, 16, 3), table.read_text()
    if name in ("semicolon", "tab"):
        text = "".join(
            f"{file}{mark}{part}{mark}{chr(34)}{labels}{chr(34)}\n"
            for mark in ({"semicolon": ";", "tab": "\t"}[name],)
            for file, part, labels in (line.split(",") for line in text.splitlines())
        )
    changed = {
        "bom": "\ufeff" + text,
        "crlf": text.replace("\n", "\r\n") + "\r\n",
        "spaces": text.replace(",", " , "),
        "upper": text.replace("file,part,labels", "File,PART,Labels"),
        "windows": text.replace("pictures/", "pictures\\"),
    }.get(name, text)
    table.write_bytes(changed.encode())
    found = read_labels(table, 16, 3)
    assert found.classes == plain.classes
    assert torch.equal(found.train.labels, plain.train.labels)
    assert found.test.images.files == plain.test.images.files


def test_tables_of_another_encoding_or_shape_name_the_line(table):
    text = table.read_text()
    table.write_bytes(text.replace("square", "Sch\u00fcff").encode("latin-1"))
    with pytest.raises(DataError, match="line 2: not UTF-8"):
        read_labels(table, 16, 3)
    table.write_text(text.replace("03.png,train,", "03.png,train,disc,square"))
    with pytest.raises(DataError, match="line 5: 4 columns, the first line has 3"):
        read_labels(table, 16, 3)
    table.write_text(text.replace("03.png,train,", '03.png,train,"disc,square"'))
    with pytest.raises(DataError, match="line 5: labels are 'disc,square'; separate them by ';'"):
        read_labels(table, 16, 3)


def test_a_table_without_any_label_is_an_error(table):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(line.rpartition(",")[0] + "," for line in lines[1:])]))
    with pytest.raises(DataError, match="no training image has a label"):
        read_labels(table, 16, 3)


def test_a_student_mimics_its_teacher(table, run_cli):
    done = run_cli("multilabel", str(table), "--name", "teacher", *SMALL)
    assert (done.code, "mAP" in done.stdout) == (0, True), done.stderr
    folder = table.parent / "runs" / "labels-multilabel"
    teacher = folder / "teacher" / "classifier.safetensors"
    done = run_cli("multilabel", str(table), "--method", "lsh", "--teacher", str(teacher), *SMALL)
    assert done.code == 0, done.stderr
    assert "lsh" in (folder / "lsh" / "metrics.jsonl").read_text()
    lonely = run_cli("multilabel", str(table), "--method", "lsh", *SMALL)
    assert (lonely.code, "needs --teacher" in lonely.stderr) == (2, True)
    other = run_cli("multilabel", str(table), "--method", "t2fts", *SMALL)
    assert (other.code, "plain, lsh" in other.stderr) == (2, True)


def test_a_teacher_is_found_by_its_name(table, run_cli):
    assert run_cli("multilabel", str(table), "--name", "big", *SMALL).code == 0
    taught = ("multilabel", str(table), "--method", "lsh")
    done = run_cli(*taught, "--teacher", "big", *SMALL)
    assert done.code == 0, done.stderr
    folder = table.parent / "runs" / "labels-multilabel"
    by_name = (folder / "lsh" / "classifier.safetensors").read_bytes()
    file = str(folder / "big" / "classifier.safetensors")
    assert run_cli(*taught, "--name", "again", "--teacher", file, *SMALL).code == 0
    assert (folder / "again" / "classifier.safetensors").read_bytes() == by_name
    done = run_cli(*taught, "--teacher", "small", *SMALL)
    assert (done.code, "no classifier 'small'" in done.stderr) == (2, True), done.stderr
    done = run_cli("multilabel", str(table), "--teacher", "big", *SMALL)
    assert (done.code, "it needs --method lsh" in done.stderr) == (2, True), done.stderr


def test_the_two_stages_of_mimicking(table, run_cli):
    """The first stage trains the matching layer alone, also where the sizes are equal."""
    assert run_cli("multilabel", str(table), "--name", "big", *SMALL).code == 0
    stages = ["--set", "lsh.matching_fraction=0.5", "--set", "log_every=1"]
    done = run_cli(
        "multilabel", str(table), "--method", "lsh", "--teacher", "big",
        *TINY, "--set", "steps=4", "--set", "size=16", "--set", "batch_size=8", *stages,
        "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    folder = table.parent / "runs" / "labels-multilabel" / "lsh"
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert ["labels" in row for row in rows] == [False, False, True, True]
    assert all({"l2", "lsh"} <= row.keys() for row in rows)
    net = load_classifier(folder / "classifier.safetensors")
    assert isinstance(net.classifier, torch.nn.Linear)  # merged


def test_it_learns(table, run_cli):
    longer = [
        *TINY,
        "--set",
        "steps=60",
        "--set",
        "size=32",
        "--set",
        "batch_size=20",
        "--device",
        "cpu",
    ]
    done = run_cli("multilabel", str(table), "--name", "x", *longer)
    assert done.code == 0, done.stderr
    assert float(done.stdout.splitlines()[3].split()[1]) > 75


def test_other_labels_are_not_passed_over(table, run_cli):
    assert run_cli("multilabel", str(table), "--name", "x", *SMALL).code == 0
    assert run_cli("multilabel", str(table), "--name", "x", *SMALL).code == 0
    table.write_text(table.read_text().replace("00.png,train,square", "00.png,train,disc"))
    done = run_cli("multilabel", str(table), "--name", "x", *SMALL)
    assert (done.code, "(table differ)" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    "word",
    ["sampling=square-root", "num_validations=3", "cmo.power=2", "tuning=adapters", "loss=focal"],
)
def test_what_has_no_effect_is_refused(table, run_cli, word):
    weights = ["--set", "weights=some.safetensors"]
    done = run_cli("multilabel", str(table), *SMALL, *weights, "--set", word)
    name = word.partition(".")[0].partition("=")[0]
    assert (done.code, name in done.stderr) == (2, True), done.stderr
    assert "needs a single label an image" in done.stderr
