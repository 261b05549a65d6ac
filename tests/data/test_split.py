"""Layouts, bad data and the parts of a split."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tgn.data.runs import find_run
from tgn.data.split import filling_up, read_split
from tgn.data.splits.archives import extract_zip
from tgn.data.splits.class_profiles import number_of_head_classes, profile_counts, shot_groups
from tgn.data.splits.make_split import plan_split, split_run
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.progress import Silent


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(path)


def folders(root: Path, **counts: int) -> Path:
    for k, (name, count) in enumerate(counts.items()):
        for i in range(count):
            picture(root / name / f"{i:02d}.png", 1000 * k + i)
    return root


def plan(data: Path, **settings: object):
    return plan_split(data, SplitSettings.resolve(None, (), **settings), Silent())


def test_train_and_test_folders_are_taken_as_they_are(fake_folder):
    split = plan(fake_folder({"a": 5, "b": 9}, test=2), val_fraction=0.0)
    assert [e.folder for e in split.classes] == ["b", "a"]  # by training count
    assert [(e.train, e.val, e.test) for e in split.classes] == [(9, 0, 2), (5, 0, 2)]
    assert (split.num_head, list(split.tail_classes)) == (1, [1])


def test_plain_class_folders_are_held_out_stratified_and_seeded(tmp_path):
    data = folders(tmp_path / "d", many=20, some=10)
    first, again, other = plan(data), plan(data), plan(data, seed=1)
    assert first == again
    assert first.test != other.test
    assert [(e.train, e.val, e.test) for e in first.classes] == [(15, 1, 4), (8, 0, 2)]
    files = [file for part in (first.train, first.val, first.test) for file, _ in part]
    assert len(files) == len(set(files)) == 30


@pytest.mark.parametrize("labels", ["numbers", "names"])
def test_anno_lists_say_what_is_in(tmp_path, labels):
    data = tmp_path / "d"
    for part, count in (("train", 4), ("test", 2)):
        lines = []
        for k, name in enumerate(["pier", "road"]):
            for i in range(count + 3 * k):
                file = f"{part}/{name if labels == 'names' else 'all'}/{k}_{i}.png"
                picture(data / file, hash((part, k, i)) % 2**32)
                lines.append(f"{file} {k}")
        (data / "anno").mkdir(exist_ok=True)
        (data / "anno" / f"X_{part}.txt").write_text("\n".join(lines[:-1]) + "\n")
    split = plan(data, val_fraction=0.0)
    expected = ["road", "pier"] if labels == "names" else ["1", "0"]
    assert [e.folder for e in split.classes] == expected
    assert [(e.train, e.test) for e in split.classes] == [(6, 4), (4, 2)]


@pytest.mark.parametrize("label", ["..", "a/b", "a\\b"])
def test_labels_that_leave_their_folder_are_refused(tmp_path, label):
    picture(tmp_path / "d/train/a/1.png", 1)
    (tmp_path / "d/anno").mkdir()
    (tmp_path / "d/anno/X_train.txt").write_text(f"train/a/1.png {label}\n")
    with pytest.raises(DataError, match="cannot name a folder"):
        plan(tmp_path / "d")


def test_a_zip_with_one_top_folder(tmp_path, in_tmp):
    folders(tmp_path / "d", a=10, b=5)
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in sorted((tmp_path / "d").rglob("*.png")):
            archive.write(file, Path("top") / file.relative_to(tmp_path / "d"))
    run, split = split_run(tmp_path / "d.zip", "zipped", SplitSettings(), Silent())
    assert [e.folder for e in split.classes] == ["a", "b"]
    assert len(split.image_set("train", run.path, 8).batch(np.arange(3))) == 3
    assert find_run() == run
    assert read_split(run.path / "split.json") == split


@pytest.mark.parametrize("name", ["../out.png", "/abs.png", "a/../../out.png", "a\\..\\out.png"])
def test_zip_members_that_lead_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a/1.png", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="leads outside"):
        extract_zip(tmp_path / "bad.zip", tmp_path / "in" / "data")
    assert list((tmp_path / "in").iterdir()) == []


def test_a_damaged_zip_is_refused_and_leaves_nothing(tmp_path, in_tmp):
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match="no whole zip"):
        split_run(tmp_path / "bad.zip", "x", SplitSettings(), Silent())
    with pytest.raises(NotFoundError, match="no run"):
        find_run()


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    data = folders(tmp_path / "d", a=10, b=6)
    (data / "a" / "00.png").write_bytes(b"")
    (data / "a" / "01.png").write_bytes((data / "a" / "02.png").read_bytes()[:60])
    Image.new("L", (8, 8), 3).save(data / "b" / "00.png")
    split = plan(data)
    assert dict(split.left_out)["a/00.png"] == "empty file"
    assert len(split.left_out) == 2
    assert split.repairs == {"grey repeated over the bands": 1}
    assert any("2 unreadable images left out" in note for note in split.notes)
    used = {file for part in (split.train, split.val, split.test) for file, _ in part}
    assert not used & {"a/00.png", "a/01.png"}


def test_names_with_spaces_unicode_and_names_json(tmp_path):
    data = folders(tmp_path / "d", **{"große brücke": 4, "0": 8})
    (data / "names.json").write_text(json.dumps({"0": "air port"}))
    assert plan(data).names == ["air port", "große brücke"]


def test_one_image_empty_and_test_only_classes_are_reported(fake_folder):
    data = fake_folder({"a": 6, "b": 1})
    (data / "train" / "empty").mkdir()
    picture(data / "test" / "new" / "1.png", 5)
    split = plan(data)
    assert [e.train for e in split.classes] == [6, 1]
    assert any("'empty' has no training image" in note for note in split.notes)
    assert any("'new' is only in the test part: 1" in note for note in split.notes)


def test_training_images_that_are_also_test_images_are_dropped(fake_folder):
    data = fake_folder({"a": 6, "b": 5})
    copy = data / "train" / "a" / "copy.png"
    copy.write_bytes((data / "test" / "a" / "000.png").read_bytes())
    split = plan(data, val_fraction=0.0)
    assert "train/a/copy.png" not in {file for file, _ in split.train}
    assert any("also test images" in note for note in split.notes)


@pytest.mark.parametrize("made", ["missing", "empty", "one class"])
def test_data_that_cannot_work_says_what_is_expected(tmp_path, made):
    data = tmp_path / "d"
    if made != "missing":
        data.mkdir()
    if made == "one class":
        folders(data, a=3)
    with pytest.raises(UserError, match="expected class folders"):
        plan(data)


def test_profiles_thin_training_only(tmp_path):
    data = folders(tmp_path / "d", a=20, b=20, c=20)
    split = plan(data, profile="exponential", largest=12, imbalance=4.0, val_fraction=0.0)
    assert [e.train for e in split.classes] == [12, 6, 3]
    assert [e.test for e in split.classes] == [4, 4, 4]
    seeded = plan(data, profile="step", largest=8, imbalance=4.0, class_order="seeded")
    assert [e.train for e in seeded.classes] == [8, 8, 2]


def test_profile_counts_are_known():
    assert profile_counts("exponential", 100, 100, 3) == [100, 10, 1]
    assert profile_counts("step", 100, 10, 4) == [100, 100, 10, 10]
    assert profile_counts("pareto", 100, 10, 10)[0] == 100
    assert profile_counts("pareto", 100, 10, 10)[-1] == 10
    with pytest.raises(UserError, match="without images"):
        profile_counts("exponential", 5, 100, 3)
    with pytest.raises(UserError, match="imbalance"):
        profile_counts("exponential", 5, 0.5, 3)


def test_head_and_shot_groups():
    assert [number_of_head_classes(c, 0.4) for c in (2, 3, 10, 12)] == [1, 1, 4, 4]
    assert shot_groups([101, 100, 20, 19]) == ["many", "medium", "medium", "few"]


def test_class_option_reads_folder_names_and_tail_places(fake_folder):
    split = plan(fake_folder({"a": 9, "b": 8, "7": 5, "c": 4, "0": 3}))
    assert [split.class_called(name) for name in ("7", "c", "1", "0")] == [2, 3, 3, 4]
    assert split.class_called("a") == 0
    assert split.classes_called("all") == (2, 3, 4)
    assert split.classes_called("every") == (2, 3, 4, 0, 1)
    assert split.classes_called("b") == (1,)
    with pytest.raises(UserError, match="valid: 0 = 7, 1 = c, 2 = 0; head classes, by name: a, b"):
        split.class_called("nine")


def test_head_classes_get_as_many_generated_images_as_tail_classes_on_average():
    assert filling_up([10, 9, 6, 2, 1], 2) == [7, 7, 4, 8, 9]
    assert filling_up([10, 10, 10], 1) == [0, 0, 0]


def test_numbers_of_numbered_folders_are_places_in_the_tail_on_a_command_line(fake_folder):
    split = plan(fake_folder({"0": 9, "3": 8, "1": 5, "2": 4, "4": 3}))
    folders = [entry.folder for entry in split.classes]
    assert folders == ["0", "3", "1", "2", "4"]  # head: 0 and 3
    assert [folders[split.classes_called(str(k))[0]] for k in range(5)] == ["1", "2", "4", "3", "4"]
    assert [folders[split.classes_called(f"folder:{k}")[0]] for k in range(5)] == list("01234")
    assert [folders[split.class_called(name)] for name in folders] == folders  # of programs
    assert [folders[split.class_called(k)] for k in range(3)] == ["1", "2", "4"]
    with pytest.raises(UserError, match="no class folder '9'; the run has: 0, 3, 1, 2, 4"):
        split.classes_called("folder:9")
    with pytest.raises(UserError, match="no class '9'"):
        split.classes_called("9")


def test_numbers_among_other_names_are_folders_first(fake_folder):
    split = plan(fake_folder({"a": 9, "0": 8, "1": 5, "c": 4}))
    assert [split.classes_called(k) for k in ("0", "1", "folder:a", "2")] == [
        (1,),
        (2,),
        (0,),
        (3,),
    ]
