"""Calibration, other priors, tables, parallel trainings, predictions and export."""

import csv
import io
import json

import pytest
import torch
from odd_files_support import write_odd_files
from tests_support import TINY, Command, in_process

from classify.cli import main as cli
from classify.comparison.compare import ComparisonPlan, compare
from classify.comparison.formatting import as_csv, as_markdown, interval
from classify.evaluation import export_onnx as export
from classify.evaluation.calibration import Reliability, draw_reliability
from classify.evaluation.predict import files_in
from classify.evaluation.prior_shift import IMBALANCE, balanced_assignment, shifted_accuracies
from classify.training.generated_images import rows_within_ratio
from classify.training.recipes import BASES, check_recipes, recipe, with_ratios
from classify.training.settings import TrainSettings
from classify.training.uses.names import OTHER_USES
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Silent

SMALL = [*TINY, "--set", "steps=2", "--set", "size=16", "--device", "cpu"]


def test_calibration_error_by_hand():
    reliability = Reliability()
    sure = torch.tensor([[0.9, 0.1]] * 4).log()
    unsure = torch.tensor([[0.6, 0.4]] * 2).log()
    reliability.add(sure, torch.tensor([0, 0, 1, 1]))  # 90% sure, 50% right
    reliability.add(unsure, torch.tensor([0, 0]))  # 60% sure, all right
    found = reliability.summary()
    assert found["ece"] == pytest.approx(4 / 6 * 0.4 + 2 / 6 * 0.4, abs=1e-6)
    assert [row["n"] for row in found["reliability"]] == [2, 4]


@pytest.mark.usefixtures("charts")
def test_an_honest_classifier_has_no_calibration_error(tmp_path):
    draw = torch.Generator().manual_seed(0)
    chance = 0.5 + 0.5 * torch.rand(20_000, generator=draw)
    labels = (torch.rand(20_000, generator=draw) > chance).long()
    reliability = Reliability()
    reliability.add(torch.stack((chance, 1 - chance), 1).log(), labels)
    assert reliability.summary()["ece"] < 0.02
    draw_reliability(reliability.summary(), tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000


def test_other_priors_weigh_the_recalls():
    confusion = torch.tensor([[10, 0, 0], [5, 5, 0], [0, 0, 0]])
    found = shifted_accuracies(confusion)  # recalls 1 and 1/2, the third class is not tested
    assert found["uniform"] == pytest.approx(0.75)
    assert found["forward"] == pytest.approx((1 + 0.5 / IMBALANCE) / (1 + 1 / IMBALANCE))
    assert found["backward"] == pytest.approx((1 / IMBALANCE + 0.5) / (1 + 1 / IMBALANCE))


def test_balanced_assignment_fills_every_class():
    draw = torch.Generator().manual_seed(0)
    probabilities = (torch.randn(50, 5, generator=draw) + torch.tensor([3.0, 1, 0, 0, 0])).softmax(
        1
    )
    assert torch.bincount(probabilities.argmax(1), minlength=5).max() > 30
    named = torch.tensor(balanced_assignment(probabilities))
    assert torch.bincount(named, minlength=5).tolist() == [10] * 5
    kept = (named == 0).nonzero().flatten()
    best = probabilities[:, 0].topk(10).indices
    assert set(kept.tolist()) == set(best.tolist())
    fair = torch.eye(4).repeat(3, 1)
    assert balanced_assignment(fair) == fair.argmax(1).tolist()


def test_ratios_count_from_what_a_class_lacks():
    real = torch.tensor([0] * 10 + [1] * 6 + [2] * 2)
    generated = torch.tensor([2, 1] * 20)
    for ratio, expected in ((0.5, [0, 2, 4]), (1.0, [0, 4, 8]), (2.0, [0, 8, 16])):
        rows = rows_within_ratio(ratio, generated, real)
        assert torch.bincount(generated[rows], minlength=3).tolist() == expected
        assert rows.tolist() == sorted(rows.tolist())
    rows = rows_within_ratio(0.5, torch.tensor([0, 1, 2] * 20), real, num_head=1)
    assert torch.bincount(torch.tensor([0, 1, 2] * 20)[rows]).tolist() == [3, 2, 4]
    assert with_ratios(["ce", "ce+generated"], [0.5, 1]) == [
        "ce",
        "ce+generated@0.5",
        "ce+generated@1",
    ]
    assert recipe("ce+generated@0.5").settings["generated_ratio"] == 0.5
    used = recipe("cmo+generated-pasted@2").settings
    assert used == {"mixing": "cmo", "generated_use": "pasted", "generated_ratio": 2.0}
    assert with_ratios(["ce+generated-soft"], [1]) == ["ce+generated-soft@1"]
    unknown = ("ce+generated-x", "probe+generated-soft", "x+generated-soft", "ce+generated-beside")
    for wrong in ("ce+generated@x", "ce+generated@0", "ce@0.5", *unknown):
        with pytest.raises(UserError, match="or NAME.generated@0.5"):
            check_recipes([wrong])
    with pytest.raises(UserError, match="--ratio got 0"):
        with_ratios(["ce+generated"], [0.0])


def test_every_recipe_has_valid_settings():
    networks = [name for name, one in BASES.items() if one.probe is None]
    uses = [f"{name}+generated-{use}" for name in networks for use in OTHER_USES]
    names = check_recipes([*BASES, *(f"{name}+generated" for name in BASES), *uses])
    for name in names:
        assert TrainSettings().with_changes(recipe(name).settings)


def test_tables_say_the_same():
    entry = interval([0.5, 0.7])
    rows = {"a|b": {"tail": entry, "macro_f1": entry}}
    table = {"first_seed": 7, "recipes": rows, "gains": {}}
    lines = as_markdown(table).splitlines()
    assert lines[0] == "| recipe | tail | macro f1 | time | memory |"
    assert "60.0 ±" in lines[2]
    table["costs"] = {"a|b": {"seconds": 150.0, "peak_mib": 1536}}
    assert as_markdown(table).splitlines()[2].endswith("| 2.5 min | 1.5 GiB |")
    found = list(csv.DictReader(io.StringIO(as_csv(table))))
    tail = [(row["seed"], row["value"]) for row in found if row["measure"] == "tail"]
    assert tail == [("7", "0.5"), ("8", "0.7"), ("mean", "0.6")]


@pytest.mark.slow
def test_trainings_side_by_side_say_what_they_say_in_turn(fake_run):
    settings = TrainSettings(
        arch="tiny", steps=2, batch_size=16, size=16, device="cpu", precision="float32"
    )
    tables = []
    torch.set_num_threads(1)  # as each job has: another number rounds differently
    for jobs in (2, 1):
        for old in fake_run.path.glob("classify/compare/*/made_with.json"):
            old.unlink()
        plan = ComparisonPlan(("ce", "balanced"), 2, fake_run.path / "generated", jobs=jobs)
        tables.append(compare(fake_run, plan, settings, Silent()))
    assert tables[0] == tables[1]


@pytest.mark.usefixtures("charts")
def test_every_recipe_is_compared_with_the_first(fake_run):
    settings = TrainSettings(
        arch="tiny", steps=2, batch_size=16, size=16, device="cpu", precision="float32"
    )
    plan = ComparisonPlan(("ce", "balanced"), 2, fake_run.path / "generated")
    table = compare(fake_run, plan, settings, Silent())
    ce, balanced = (table["recipes"][name]["tail"]["values"] for name in plan.recipes)
    found = table["against_first"]["balanced"]["tail"]["values"]
    assert found == [b - a for a, b in zip(ce, balanced, strict=True)]
    assert "| balanced minus ce |" in (fake_run.path / "compare.md").read_text()
    for suffix in ("csv", "md", "png"):
        assert (fake_run.path / f"compare.{suffix}").stat().st_size > 100


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Command:
    return in_process(cli.main, monkeypatch, capsys)


def test_predict_takes_files_folders_and_a_list(fake_run, run_cli, monkeypatch):
    assert run_cli("train", *SMALL).code == 0
    split = fake_run.split()
    root = (fake_run.path / split.root).resolve()
    files = [str(root / file) for file, _ in split.test]
    listed = run_cli("predict", str(root / "test"), "--top", "2").stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == sorted(files)
    assert all(len(line.split("\t")) == 5 for line in listed)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(files[:2]) + "\n"))
    rows = [
        json.loads(line)
        for line in run_cli("predict", "-", "--json", "--top", "9").stdout.splitlines()
    ]
    assert [row["file"] for row in rows] == files[:2]
    for row in rows:
        assert sum(row["classes"].values()) == pytest.approx(1.0, abs=1e-5)
        assert list(row["classes"].values()) == sorted(row["classes"].values(), reverse=True)
    missing = run_cli("predict", "nowhere.png")
    assert (missing.code, "no image or folder nowhere.png" in missing.stderr) == (2, True)
    windows = "\ufeff" + "\r\n".join(file.replace("/", "\\") for file in files[:2])
    monkeypatch.setattr("sys.stdin", io.StringIO(windows))
    done = run_cli("predict", "-")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == files[:2], done.stderr


def test_predict_goes_on_after_files_that_cannot_be_read_and_names_them(fake_run, run_cli):
    assert run_cli("train", *SMALL).code == 0
    split = fake_run.split()
    good = (fake_run.path / split.root).resolve() / split.test[0][0]
    folder = fake_run.path.parent / "mixed"
    (folder / ".thumbs").mkdir(parents=True)
    for name in ("a.png", "c.png", "._a.png", ".thumbs/t.png"):
        (folder / name).write_bytes(good.read_bytes() if name[0] != "." else b"no image")
    (folder / "b.png").write_bytes(good.read_bytes()[:60])
    done = run_cli("predict", str(folder), "nowhere.png", str(good))
    shown = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert shown == [str(folder / "a.png"), str(folder / "c.png"), str(good)]
    assert done.code == 2
    for text in (
        f"left out: {folder / 'b.png'}: ",
        "no image or folder nowhere.png",
        "2 could not",
    ):
        assert text in done.stderr


def test_predict_neither_waits_nor_fills_the_memory(fake_run, run_cli, monkeypatch):
    assert run_cli("train", *SMALL).code == 0
    split = fake_run.split()
    good = (fake_run.path / split.root).resolve() / split.test[0][0]
    folder = fake_run.path.parent / "mixed"
    folder.mkdir()
    (folder / "good.png").write_bytes(good.read_bytes())
    left_out = write_odd_files(folder)
    next(folder.glob("caf*")).unlink()  # the terminal gets its bytes, which pytest does not read
    unnamed = ("up", "._x.png", "x.heic", r"caf\xe9.png")
    named = {name for name in left_out if name not in unnamed}
    done = run_cli("predict", str(folder))
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [str(folder / "good.png")]
    lines = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert (done.code, len(lines)) == (2, len(named)), done.stderr
    odd = [f"{folder}/{name}" for name in ("fifo.png", "zero.png", "loop.png", "sparse.png")]
    listed = "\n".join([*odd, "a\0b", "x" * 5000, str(folder / "good.png")])
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    done = run_cli("predict", "-")
    assert (done.code, len(done.stdout.splitlines())) == (2, 1)
    for name in (*odd, "a\\x00b", "xxx"):
        assert name in done.stderr
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 100_000))
    done = run_cli("predict", "-")
    assert (done.code, "stdin has a line of 32768 characters" in done.stderr) == (2, True)


def test_a_classifier_of_another_class_order_is_not_evaluated(fake_run, run_cli):
    assert run_cli("train", *SMALL, "--name", "k").code == 0
    path = fake_run.path / "split.json"
    content = read_json(path)
    content["classes"] = [content["classes"][k] for k in (1, 0, *range(2, len(content["classes"])))]
    write_json(path, content)
    done = run_cli("evaluate", "--name", "k", "--device", "cpu")
    assert (done.code, "in another order" in done.stderr) == (2, True), done.stderr


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(NotFoundError, match="no images in"):
        list(files_in([tmp_path]))


def test_a_folder_that_was_given_counts_whatever_its_name_and_hidden_ones_below_it_do_not(tmp_path):
    given = tmp_path / ".chips"
    for name in ("b.png", "a/c.png", ".cache/d.png", "a/.e.png"):
        file = given / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"image")
    assert [*files_in([given])] == [given / "a/c.png", given / "b.png"]


def test_evaluation_says_when_it_uses_the_test_prior(fake_run, run_cli):
    assert run_cli("train", *SMALL).code == 0
    plain = run_cli("evaluate").stdout
    assert "calibration error" in plain
    assert "under other test priors: uniform" in plain
    assert "assuming that all classes" not in plain
    assert "assuming that all classes" in run_cli("evaluate", "--assume-balanced-test").stdout


def test_export_is_the_network(fake_run, run_cli, monkeypatch):
    onnx = pytest.importorskip("onnx")
    assert run_cli("train", *SMALL).code == 0
    done = run_cli("export")
    assert (done.code, "images [B, 3, 16, 16]" in done.stdout) == (0, True), done.stderr
    file = fake_run.path / "classify" / "ce" / "classifier.onnx"
    model = onnx.load(str(file))
    folders = [entry.folder for entry in fake_run.split().classes]
    assert json.loads({p.key: p.value for p in model.metadata_props}["classes"]) == folders
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    file.unlink()
    done = run_cli("export")
    assert (done.code, "differs from the network" in done.stderr) == (2, True)
    assert not file.exists()


def test_the_command_trains_a_student(fake_run, run_cli):
    assert run_cli("train", "--name", "teacher", *SMALL).code == 0
    done = run_cli("train", "--method", "lsh", "--teacher", "teacher", *SMALL)
    assert done.code == 0, done.stderr
    assert (fake_run.path / "classify" / "lsh+random" / "metrics.json").is_file()
    plan = run_cli("train", "--method", "t2fts", "--dry-run").stdout
    assert "4 trainings: teacher-head, teacher-middle, teacher-tail, t2fts+random" in plan
    assert "lsh:" in plan
    wrong = run_cli("train", "--method", "lsh", "--teacher", "nobody")
    assert (wrong.code, "there are: lsh+random, teacher" in wrong.stderr) == (2, True)
    wrong = run_cli("train", "--method", "lsh", "--teacher", "teacher", "--set", "lsh.hashez=1")
    assert (wrong.code, "valid: lsh.loss" in wrong.stderr) == (2, True)
