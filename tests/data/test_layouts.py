"""Data folders as people have them: names of parts, links, hidden folders, left out files."""

import json
import zipfile
from contextlib import nullcontext as nothing
from pathlib import Path

import numpy as np
import pytest
from layout_support import counts, fill, picture, plan

from tgn.data.image_folders import folder_rows
from tgn.data.splits.archives import extract_zip
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.progress import Silent


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "Test"), ("training", "testing"), ("TRAIN", "test")]
)
def test_parts_have_their_usual_names_in_any_case(tmp_path, train, test):
    fill(tmp_path / "d" / train, 1, a=5, b=3)
    fill(tmp_path / "d" / test, 2, a=2, b=1)
    assert counts(plan(tmp_path / "d", val_fraction=0.0)) == {"a": (5, 0, 2), "b": (3, 0, 1)}


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_a_validation_part_is_taken_as_it_is(tmp_path, name):
    fill(tmp_path / "d/train", 1, a=20, b=10)
    fill(tmp_path / "d" / name, 2, a=3, b=2)
    fill(tmp_path / "d/test", 3, a=4, b=4)
    split = plan(tmp_path / "d")
    assert counts(split) == {"a": (20, 3, 4), "b": (10, 2, 4)}
    assert all(file.startswith(f"{name}/") for file, _ in split.val)
    assert any("the data's own" in note for note in split.notes)


def test_a_validation_part_is_the_test_part_if_there_is_no_other(tmp_path):
    fill(tmp_path / "d/train", 1, a=20, b=10)
    fill(tmp_path / "d/val", 2, a=3, b=2)
    split = plan(tmp_path / "d")
    assert counts(split) == {"a": (18, 2, 3), "b": (9, 1, 2)}
    assert all(file.startswith("val/") for file, _ in split.test)
    assert any("no test part" in note for note in split.notes)


@pytest.mark.parametrize("inner", [{}, {"steam": 3, "electric": 4}])
def test_a_class_may_be_called_train(tmp_path, inner):
    fill(tmp_path / "d", 1, bus=8, car=6, **({} if inner else {"train": 5}))
    fill(tmp_path / "d/train", 2, **inner)
    split = plan(tmp_path / "d")
    assert set(counts(split)) == {"bus", "car", "train"}
    assert "folder 'train' is read as a class" in split.notes


def test_what_could_be_a_part_or_a_class_is_refused(tmp_path):
    fill(tmp_path / "d/train", 1, a=3, b=3)
    fill(tmp_path / "d", 2, more=3)
    with pytest.raises(DataError, match="rename train/ if it is a class, or move more/ away"):
        plan(tmp_path / "d")
    fill(tmp_path / "e", 1, train=3, test=3)
    with pytest.raises(DataError, match="hold images, but no class folders"):
        plan(tmp_path / "e")
    fill(tmp_path / "d/Train", 1, a=3, b=3)
    with pytest.raises(DataError, match="two folders for the part train: Train and train"):
        plan(tmp_path / "d")


def test_images_outside_the_parts_and_loose_ones_are_counted(tmp_path):
    fill(tmp_path / "d/train", 1, a=3, b=3)
    fill(tmp_path / "d/test", 2, a=1, b=1)
    fill(tmp_path / "d", 3, unlabelled=2)
    picture(tmp_path / "d/train/loose.png", 9)
    split = plan(tmp_path / "d")
    assert dict(split.left_out) == {
        "train/loose.png": "directly in train/, in no class folder",
        "unlabelled/00.png": "outside the folders of the parts",
        "unlabelled/01.png": "outside the folders of the parts",
    }
    assert any("2 left out, e.g. unlabelled/00.png" in note for note in split.notes)


def test_links_to_folders_and_files_are_followed_and_circles_are_not(tmp_path):
    fill(tmp_path / "elsewhere", 1, b=6, c=1)
    data = fill(tmp_path / "d", 2, a=6)
    (data / "b").symlink_to(tmp_path / "elsewhere/b")
    (data / "a/more.png").symlink_to(tmp_path / "elsewhere/c/00.png")
    (data / "a/gone.png").symlink_to(tmp_path / "nothing.png")
    (data / "a/circle").symlink_to(data / "a")
    split = plan(data, val_fraction=0.0)
    assert sorted(sum(parts) for parts in counts(split).values()) == [6, 7]
    assert dict(split.left_out) == {
        "a/gone.png": "link to a file that is gone",
        "a/circle": "link to a folder that holds it",
    }


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", ".thumbnails", "__MACOSX"])
@pytest.mark.parametrize("place", ["", "a", "a/deep"])
def test_hidden_folders_are_never_data(tmp_path, name, place):
    data = fill(tmp_path / "d", 1, a=6, b=6)
    picture(data / place / name / "x/1.png", 77)
    split = plan(data)
    hidden = (Path(place) / name / "x/1.png").as_posix()
    assert split.left_out == ((hidden, "hidden"),)
    assert f"hidden: 1 left out, e.g. {hidden}" in split.notes
    assert hidden not in {row.file for row in folder_rows(data)}


def test_other_suffixes_are_counted_by_suffix(tmp_path):
    data = fill(tmp_path / "d", 1, a=6, b=6)
    for k in range(4):
        (data / "b" / f"{k}.xyz").write_bytes(b"?")
    (data / "b" / ".DS_Store").write_bytes(b"?")
    split = plan(data)
    assert "suffix .xyz is not read: 4 left out, e.g. b/0.xyz, b/1.xyz, b/2.xyz" in split.notes
    assert len(split.left_out) == 4


def test_names_that_are_not_utf8_are_left_out_by_name(tmp_path):
    data = fill(tmp_path / "d", 1, a=6, b=6)
    (data / "a/00.png").rename(data / "a" / b"\xff.png".decode(errors="surrogateescape"))
    assert plan(data).left_out == ((r"a/\xff.png", "name is not UTF-8 text"),)


def test_classes_whose_names_differ_in_case(tmp_path):
    fill(tmp_path / "d/train", 1, Ship=5, car=4)
    fill(tmp_path / "d/test", 2, ship=2, car=1)
    split = plan(tmp_path / "d", val_fraction=0.0)
    assert counts(split) == {"Ship": (5, 0, 2), "car": (4, 0, 1)}
    assert "'ship' is taken for class 'Ship'" in split.notes
    letters = plan(fill(tmp_path / "e", 3, A=6, a=5))
    assert set(counts(letters)) == {"A", "a"}
    assert any("'A' and 'a' are two classes" in note for note in letters.notes)


def zipped(file: Path, **members: bytes | Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data if isinstance(data, bytes) else data.read_bytes())
    return file


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_zip_of_windows_and_one_with_a_readme_beside_the_folder(tmp_path, separator):
    data = fill(tmp_path / "d", 1, a=5, b=5)
    members = {
        separator.join(("top", path.parent.name, path.name)): path for path in data.rglob("*.png")
    }
    split = plan(zipped(tmp_path / "d.zip", **members, **{"README.txt": b"hello"}))
    assert set(counts(split)) == {"a", "b"}


def test_zip_members_that_clash_are_refused(tmp_path):
    for name in ("c", "a/1.png"):
        file = zipped(tmp_path / "bad.zip", **{"c/0.png": b"x", "a/1.png": b"y"})
        with zipfile.ZipFile(file, "a") as archive, pytest.warns() if "/" in name else nothing():
            archive.writestr(name, b"z")
        with pytest.raises(DataError, match="two members have the name"):
            extract_zip(file, tmp_path / "in/data")
        assert list((tmp_path / "in").iterdir()) == []


def test_a_member_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DataError, match="'a/nnn.* cannot be written"):
        extract_zip(zipped(tmp_path / "l.zip", **{f"a/{'n' * 300}": b""}), tmp_path / "in/data")
    with pytest.raises(DataError, match="leads outside"):
        extract_zip(zipped(tmp_path / "w.zip", **{"C:\\a\\1.png": b""}), tmp_path / "in/data")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_members_are_one_line(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "d.zip", "w", method) as archive:
        archive.writestr("a/1.png", np.random.default_rng(0).bytes(4000))
    data = bytearray((tmp_path / "d.zip").read_bytes())
    data[60:400] = bytes(340)
    (tmp_path / "d.zip").write_bytes(data)
    with pytest.raises(DataError, match="cannot be unpacked|no whole zip"):
        extract_zip(tmp_path / "d.zip", tmp_path / "in/data")


def lists(data: Path, **texts: str | bytes) -> Path:
    (data / "anno").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        content = text if isinstance(text, bytes) else text.encode()
        (data / "anno" / f"{name}.txt").write_bytes(content)
    return data


def lines(prefix: str, start: int, end: int) -> str:
    return "".join(
        f"{prefix}{name}/{i:02d}.png {k}\n"
        for k, name in enumerate(["küste", "sea port"])
        for i in range(start, end)
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("prefix", ["images/", "d/images/", ""])
def test_lists_in_any_encoding_relative_to_any_folder(tmp_path, encoding, separator, prefix):
    data = fill(tmp_path / "d/images", 1, **{"küste": 9, "sea port": 9}).parent
    texts = [lines(prefix, *span).replace("/", separator) for span in ((0, 6), (6, 7), (7, 9))]
    names = ("X_train", "X_val", "X_test")
    lists(data, **{n: text.encode(encoding) for n, text in zip(names, texts, strict=True)})
    split = plan(data)
    assert counts(split) == {"küste": (6, 1, 2), "sea port": (6, 1, 2)}
    assert split.left_out == ()


def test_a_file_in_place_of_the_data_folder_is_called_one(tmp_path):
    picture(tmp_path / "a.png", 1)
    with pytest.raises(NotFoundError, match="a.png is a file; expected class folders"):
        plan(tmp_path / "a.png")


def test_a_data_folder_that_is_named_hidden_is_read(tmp_path):
    data = fill(tmp_path / ".d", 1, **{"küste": 9, "sea port": 9})
    lists(data, X_train=lines("", 0, 6), X_test=lines("", 6, 8))
    split = plan(data)
    assert counts(split)["küste"][2] == 2
    assert {reason for _, reason in split.left_out} == {"in no list of anno/"}


def test_published_lists_are_relative_to_the_folder_of_their_part(tmp_path):
    for seed, part in enumerate(("train", "test")):
        fill(tmp_path / "d" / part, seed, **{"küste": 4, "sea port": 4})
    split = plan(lists(tmp_path / "d", D_train=lines("", 0, 4), D_test=lines("", 0, 3)))
    assert counts(split) == {"küste": (4, 0, 3), "sea port": (4, 0, 3)}
    assert {file.split("/")[0] for file, _ in split.test} == {"test"}
    assert dict(split.left_out)["test/küste/03.png"] == "in no list of anno/"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("küste/99.png 0", "X_train.txt line 9: no file küste/99.png"),
        ("küste 0", "X_train.txt line 9: küste is a folder"),
        ("../x.png 0", "X_train.txt line 9: .* leads outside"),
        ("alone", "X_train.txt line 9: got 'alone'"),
        ("küste/00.png 1", "line 9: küste/00.png has label 1, but 0 in X_train.txt line 1"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, message):
    data = fill(tmp_path / "d", 1, **{"küste": 4, "sea port": 4})
    with pytest.raises(DataError, match=message):
        plan(lists(data, X_train=lines("", 0, 4) + line))


def test_many_problems_are_counted_and_written_to_a_file(in_tmp):
    data = fill(in_tmp / "d", 1, **{"küste": 4, "sea port": 4})
    lists(data, X_train=lines("", 0, 34))
    shown = r"60 problems: .*; 50 more, all are in .*runs/r/problems.txt"
    with pytest.raises(DataError, match=shown):
        split_run(data, "r", SplitSettings(), Silent())
    assert len((in_tmp / "runs/r/problems.txt").read_text().splitlines()) == 60
    assert not (in_tmp / "runs/r/run.yaml").exists()


def test_names_json_may_have_a_byte_order_mark(tmp_path):
    data = fill(tmp_path / "d", 1, a=5, b=5)
    (data / "names.json").write_text(json.dumps({"a": "air port"}), encoding="utf-8-sig")
    assert "air port" in plan(data).names
