"""The verb assess on made-up runs: what is planted is found, and shown escaped."""

import hashlib
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import pytest
import torch
from clip_support import write_small_clip
from tests_support import in_process, write_generated

from tgn.assess import extrapolation
from tgn.assess.assess import assess_run
from tgn.cli.main import main
from tgn.data.images import to_pm1
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.models.zero_shot import load_zero_shot_of
from tgn.probe.views import SymmetryViews
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.progress import Silent

COUNTS = {"square": 24, "disc": 16, "bar": 8, "cross": 6}


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    """Draw fewer resamples of the learning curve, which is tested apart."""
    monkeypatch.setattr(extrapolation, "RESAMPLES", 10)


@pytest.fixture
def command(monkeypatch, capsys):
    return in_process(main, monkeypatch, capsys)


def set_words(settings):
    values = settings.model_dump(include={"networks", "size", "repeats"})
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def split(data, name="fake"):
    return split_run(data, name, SplitSettings(val_fraction=0.0), Silent())[0]


@pytest.mark.usefixtures("charts")
def test_the_verb_writes_a_page_and_a_json_and_says_what_would_help(command, fake_run, settings):
    done = command("assess", "--run", "fake", "--device", "cpu", *set_words(settings))
    assert done.code == 0, done.stderr
    result = json.loads((fake_run.path / "assess.json").read_text())
    assert " ".join(result["advice"]["sentence"].split()) in " ".join(done.stdout.split())
    assert result["images"] == {"train": 46, "test": 12}
    assert [one["train"] for one in result["classes"]] == [24, 12, 6, 4]
    assert result["imbalance"] == 6
    assert set(result["learning_curve"]["more_images"]) == {"2", "4", "8"}
    page = (fake_run.path / "assess.html").read_text()
    HTMLParser().feed(page)
    assert not re.search(r"<script|https?://", page)
    assert "{{" not in page
    assert result["generated"] is None
    assert "<h2>Generated images</h2>" not in page
    listed = len(result["doubtful_labels"]["listed"])
    assert f"{listed} are listed in assess.json" in page


@pytest.mark.parametrize("place", ["of the run", "elsewhere"])
def test_generated_images_are_judged_beside_the_data(command, fake_run, settings, place):
    folder = write_generated(fake_run, label=3, count=6)
    words = ("--generated",)
    if place == "elsewhere":
        folder = folder.rename(fake_run.path / "moved")
        words = ("--generated", str(folder))
    done = command("assess", *words, "--run", "fake", "--device", "cpu", *set_words(settings))
    assert done.code == 0, done.stderr
    result = json.loads((fake_run.path / "assess.json").read_text())
    (row,) = result["generated"]["classes"]
    assert (row["class"], row["images"]) == ("cross", 6)
    assert result["generated"]["folder"] == str(folder)
    assert result["generated"]["statistic"] == "error"
    answer = "Yes, use" if result["generated"]["helps"] else "No, these images would not help"
    assert f"The images in {folder}: {answer}" in result["advice"]["sentence"]
    assert "four times the images" in result["advice"]["sentence"]
    assert answer in " ".join(done.stdout.split())
    page = (fake_run.path / "assess.html").read_text()
    assert "<h2>Generated images</h2>" in page
    assert f"<td>cross</td><td>6</td><td>{row['gain']:+.1f}</td>" in page
    assert not (folder / "manifest.filtered.jsonl").exists()


def test_generated_images_of_a_class_with_many_real_ones_are_answered_with_no(
    command, fake_run, settings
):
    write_generated(fake_run, label=0, count=3)  # of 22 real images, and a probe uses none of them
    done = command(
        "assess", "--generated", "--run", "fake", "--device", "cpu", *set_words(settings)
    )
    assert done.code == 0, done.stderr
    result = json.loads((fake_run.path / "assess.json").read_text())
    assert (result["generated"]["helps"], result["generated"]["classes"]) == (False, [])
    assert "No, these images would not be used" in result["advice"]["sentence"]
    assert "<h2>Generated images</h2>" in (fake_run.path / "assess.html").read_text()


def test_generated_images_that_are_not_there_are_missed_before_any_work(
    command, fake_run, settings, tmp_path
):
    done = command("assess", "--run", "fake", "--generated")
    assert (done.code, "no images in" in done.stderr) == (2, True), done.stderr
    assert not (fake_run.path / "assess.json").exists()
    done = command("assess", str(tmp_path), "--generated", "--run", "new")
    assert "--generated got no folder and a new run" in done.stderr


def test_a_dry_run_writes_nothing(command, fake_run, settings):
    before = sorted(fake_run.path.rglob("*"))
    done = command("assess", "--run", "fake", "--dry-run", *set_words(settings))
    assert done.code == 0
    assert "worthwhile" in done.stdout
    assert sorted(fake_run.path.rglob("*")) == before


def test_a_folder_is_split_first_and_a_second_time_refused(command, in_tmp, fake_folder, settings):
    data = fake_folder(COUNTS)
    words = (str(data), "--run", "new", "--device", "cpu", *set_words(settings))
    done = command("assess", *words)
    assert done.code == 0, done.stderr
    assert "into run 'new'" in done.stdout
    assert (in_tmp / "runs" / "new" / "assess.json").is_file()
    again = command("assess", *words)
    assert again.code == 2
    assert "tgn assess --run new" in again.stderr.replace("\n", " ")


def test_a_dry_run_checks_the_data_and_names_the_run_after_its_folder(
    command, in_tmp, fake_folder, monkeypatch
):
    missing = command("assess", "missing", "--dry-run")
    assert missing.code == 2
    assert "missing" in missing.stderr
    data = fake_folder(COUNTS).rename(in_tmp / "aid.v2")
    before = sorted(in_tmp.rglob("*"))
    planned = command("assess", str(data), "--dry-run")
    assert planned.code == 0, planned.stderr
    assert "into run 'aid.v2'" in planned.stdout
    assert sorted(in_tmp.rglob("*")) == before
    monkeypatch.chdir(data)
    assert "into run 'aid.v2'" in command("assess", ".", "--dry-run").stdout


def test_a_dry_run_refuses_too_few_images(command, in_tmp, fake_folder):
    few = fake_folder({"square": 3, "disc": 2, "bar": 1})
    done = command("assess", str(few), "--dry-run")
    assert done.code == 2
    assert "at least 2 and 4" in done.stderr.replace("\n", " ")


def test_the_same_seed_gives_the_same_result(fake_run, settings):
    first = assess_run(fake_run, settings, Silent())
    again = assess_run(fake_run, settings, Silent())
    del first["seconds"], again["seconds"]
    assert first == again


def test_a_probe_finds_the_features_of_assess_in_the_cache(fake_run, settings, monkeypatch):
    from classify.probe.settings import ProbeSettings
    from classify.probe.train import ProbeJob, train_probe

    assess_run(fake_run, settings, Silent())
    monkeypatch.setattr("tgn.models.extractors.Extractor.features", None)  # nothing is computed
    probe = ProbeSettings(networks=settings.networks, size=32, crops=0, device="cpu")
    assert train_probe(fake_run, ProbeJob(fake_run.classifiers / "a"), probe, Silent())["n"] == 12


def test_with_features_in_the_cache_only_altered_copies_are_computed_and_a_file_hashed_once(
    fake_run, settings, monkeypatch
):
    assess_run(fake_run, settings, Silent())
    recorded = read_json(fake_run.split_file) | {"checksums": {}}
    write_json(fake_run.split_file, recorded)  # as of an older version
    real, computed = SymmetryViews.forward, []
    monkeypatch.setattr(
        SymmetryViews, "forward", lambda views, x: computed.append(len(x)) or real(views, x)
    )
    monkeypatch.setattr(hashlib, "sha256", counted := Counted(hashlib.sha256))
    assess_run(fake_run, settings, Silent())
    assert sum(computed) == 46  # one copy of each training image
    data = fake_run.path.parents[1] / "data"
    assert {counted.seen[path.read_bytes()] for path in data.rglob("*.png")} == {1}


class Counted:
    """A function that notes what it is called with."""

    def __init__(self, function):
        self.function, self.seen = function, Counter()

    def __call__(self, data=b"", **options):
        self.seen[data] += 1
        return self.function(data, **options)


def test_planted_copies_are_found_within_and_across_the_parts(in_tmp, fake_folder, settings):
    data = fake_folder(COUNTS)
    shutil.copy(data / "train/square/001.png", data / "train/square/copy.png")
    shutil.copy(data / "train/disc/001.png", data / "train/bar/other.png")
    turned(data / "train/disc/002.png", data / "test/disc/turned.png")
    result = assess_run(split(data), settings, Silent())
    exact = result["exact_duplicates"]
    assert [sorted((p["first"], p["second"])) for p in exact["listed"]] == [
        ["train/square/001.png", "train/square/copy.png"],
        ["train/bar/other.png", "train/disc/001.png"],
    ]
    assert exact["with_two_labels"] == 1
    near = result["near_duplicates"]
    assert near["listed"][0]["first"] == "train/disc/002.png"
    assert near["listed"][0]["second"] == "test/disc/turned.png"
    assert near["across_train_and_test"] >= 1
    assert "copies of training images" in result["advice"]["sentence"]


def turned(source, target):
    from PIL import Image

    with Image.open(source) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(target)


def test_names_from_outside_are_escaped_on_the_page(in_tmp, fake_folder, settings):
    data = fake_folder({"a<b>&": 12, "disc": 8, "bar": 6})
    run = split(data)
    assess_run(run, settings, Silent())
    page = run.assessment_page.read_text()
    assert "a<b>" not in page
    assert "a&lt;b&gt;&amp;" in page


def test_a_run_too_small_is_refused_before_work(in_tmp, fake_folder, settings, monkeypatch):
    run = split(fake_folder({"square": 3, "disc": 2, "bar": 1}))
    monkeypatch.setattr("tgn.assess.assess.read_images", None)
    with pytest.raises(DataError, match="at least 2 and 4"):
        assess_run(run, settings, Silent())


def test_clip_has_a_row_of_its_own_and_says_that_it_was_not_trained(
    command, fake_run, settings, tmp_path
):
    clip = write_small_clip(tmp_path)
    words = ("assess", "--run", "fake", "--device", "cpu", *set_words(settings))
    done = command(*words, "--set", f"clip={clip}")
    assert done.code == 0, done.stderr
    assert "CLIP, zero-shot (not trained on these images)" in done.stdout
    result = json.loads((fake_run.path / "assess.json").read_text())
    row = result["accuracy"]["CLIP, zero-shot"]
    assert row["note"] == f"not trained on these images: {clip}"
    guide, split = load_zero_shot_of(fake_run, clip).guide, fake_run.split()
    for part, name in (("left_out", "train"), ("test", "test")):
        images = split.image_set(name, fake_run.path, guide.size, 3)
        right = guide(to_pm1(images.batch(torch.arange(len(images))))).argmax(1) == images.labels
        recalls = [float(right[images.labels == k].double().mean()) for k in range(4)]
        assert row[part]["per_class"] == pytest.approx(recalls)
    assert result["best_recipe"] != "CLIP, zero-shot"
    assert "not trained on these images" in (fake_run.path / "assess.html").read_text()


def test_a_clip_that_is_not_there_is_said_before_anything_is_computed(
    fake_run, settings, monkeypatch
):
    monkeypatch.setattr("tgn.assess.assess.read_images", lambda *_: pytest.fail("too late"))
    with pytest.raises(UserError, match="expected arch:tag or arch:/file; use --set clip=ARCH"):
        assess_run(fake_run, settings.with_changes({"clip": "nothing"}), Silent())
