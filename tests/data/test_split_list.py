"""``split.csv``: written by every split, read by ``tgn split --from``."""

import csv
import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests_support import in_process

from tgn.cli import main as cli
from tgn.data.completion_record import CHIPS
from tgn.data.images import pixels_sha256
from tgn.data.shards import write_shard
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.data.splits.split_list import read_split_list
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.progress import Silent

DIGEST = "0" * 64
HEAD = "# num_head: 1\npart,class,file,sha256\n"
ROWS = f"train,a,a/1.png,{DIGEST}\ntrain,b,b/1.png,{DIGEST}\ntest,a,a/2.png,{DIGEST}\n"


@pytest.fixture
def data(in_tmp, fake_folder):
    return fake_folder({"square": 12, "große, brücke": 6, "bar": 4}, size=8)


def split(data, name, **settings):
    made = {"val_fraction": 0.25, **settings}
    return split_run(data, name, SplitSettings.resolve(None, (), **made), Silent())


def again(data, name, list_file, **settings):
    return split_run(data, name, ListedSplitSettings(list_file=list_file, **settings), Silent())


def test_a_split_writes_its_list(data):
    run, made = split(data, "one", profile="exponential", largest=8, imbalance=4)
    lines = run.split_list_file.read_text(encoding="utf-8").splitlines()
    assert lines[1:3] == ["# name: one", "# data: data"]
    assert "profile=exponential largest=8 imbalance=4.0" in lines[3]
    assert lines[4:6] == [f"# num_head: {made.num_head}", "part,class,file,sha256"]
    rows = list(csv.reader(lines[6:]))
    folders = [entry.folder for entry in made.classes]
    for part in ("train", "val", "test"):
        listed = [(file, folders.index(name)) for which, name, file, _ in rows if which == part]
        assert listed == list(getattr(made, part))
    for _, _, file, digest in rows:
        assert digest == hashlib.sha256((data / file).read_bytes()).hexdigest()
    text = run.split_list_file.read_bytes()
    assert run.recorded("run")["split_list_sha256"] == hashlib.sha256(text).hexdigest()


def test_a_list_gives_the_same_split_and_the_same_bytes(data):
    first, made = split(data, "one", seed=3, profile="step", largest=6, imbalance=2)
    second, taken = again(data, "two", first.split_list_file)
    assert second.split_list_file.read_bytes() == first.split_list_file.read_bytes()
    assert taken.notes == ("7 images of " + str(data) + " are not in split.csv: left out",)
    assert taken.model_copy(update={"notes": made.notes}) == made


def test_a_list_edited_elsewhere_is_read(data):
    """Byte order mark, Windows line ends, capital digits, any order of rows, own comments."""
    first, made = split(data, "one")
    lines = first.split_list_file.read_text(encoding="utf-8").splitlines()
    comments, columns, rows = ["# Smith 2026", *lines[:5]], lines[5], lines[6:]
    upper = [row[:-64] + row[-64:].upper() for row in rows]
    text = "\r\n".join([*comments, columns, *reversed(upper), ""])
    (first.path / "other.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    second, taken = again(data, "two", first.path / "other.csv")
    folders = [entry.folder for entry in made.classes]
    assert [entry.folder for entry in taken.classes] == folders[::-1]  # that of their first rows
    written = second.split_list_file.read_text(encoding="utf-8").splitlines()
    assert written[:7] == [*comments, columns]
    assert sorted(written[7:]) == sorted(rows)


def test_missing_images_are_counted(data):
    run, _ = split(data, "one")
    for file in ("train/square/001.png", "test/bar/000.png"):
        (data / file).unlink()
    with pytest.raises(DataError, match=r"lacks 2 of the 31 images .*, e\.g\. train/square/001"):
        again(data, "two", run.split_list_file)


def test_another_image_under_the_same_name_is_refused(data):
    run, made = split(data, "one")
    changed = data / "train/square/001.png"
    shutil.copy(data / "train/square/002.png", changed)
    with pytest.raises(DataError, match=r"1 of the 31 .*001\.png: got .*expected .*check_hashes"):
        again(data, "two", run.split_list_file)
    assert not (run.path.parent / "two" / "run.yaml").exists()
    other, taken = again(data, "two", run.split_list_file, check_hashes=False)
    assert (taken.train, taken.test) == (made.train, made.test)
    assert "1 of the 31 images differ" in taken.notes[0]
    again(data, "three", other.split_list_file)  # it has the hashes of the images as they are


def test_a_damaged_image_is_refused(data):
    run, _ = split(data, "one")
    (data / "train/square/001.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"1 images of .* cannot be read, e\.g\. train/square/001"):
        again(data, "two", run.split_list_file)


def test_extra_images_are_left_out_unread(data):
    run, made = split(data, "one")
    (data / "train/square/new.png").write_bytes(b"damaged")
    (data / "train/new").mkdir()
    shutil.copy(data / "train/bar/000.png", data / "train/new/0.png")
    _, taken = again(data, "two", run.split_list_file)
    assert taken.model_copy(update={"notes": ()}) == made.model_copy(update={"notes": ()})
    assert taken.notes[0].startswith("2 images of ")


def test_a_list_of_a_folder_fits_its_zip(data):
    run, made = split(data, "one")
    with zipfile.ZipFile(data.with_suffix(".zip"), "w") as archive:
        for file in sorted(data.rglob("*.png")):
            archive.write(file, "top" / file.relative_to(data))
    other, taken = again(data.with_suffix(".zip"), "two", run.split_list_file)
    assert other.split_list_file.read_bytes() == run.split_list_file.read_bytes()
    assert taken.model_copy(update={"root": made.root}) == made
    batch = taken.image_set("train", other.path, 8).batch(np.arange(3))
    assert len(batch) == 3


def in_shards(data, target, first):
    """Pack every class into a shard, ``first`` a member before the images of each."""
    for part in ("train", "test"):
        for folder in sorted((data / part).iterdir()):
            contents = [
                (path.stem, {"png": path.read_bytes(), "cls": folder.name.encode()})
                for path in sorted(folder.iterdir())
            ]
            write_shard(target / f"{part}-{folder.name}.tar", [*first, *contents])
    return target


def test_a_list_of_shards_fits_shards_packed_anew(data, tmp_path):
    run, _ = split(in_shards(data, tmp_path / "a", []), "one")
    assert "@" not in run.split_list_file.read_text()
    moved = in_shards(data, tmp_path / "b", [("0000", {"txt": b"read me"})])
    other, taken = again(moved, "two", run.split_list_file)
    assert other.split_list_file.read_bytes() == run.split_list_file.read_bytes()
    assert len(taken.image_set("train", other.path, 8).batch(np.arange(3))) == 3


def test_images_of_one_name_in_a_shard_keep_their_place(data, tmp_path):
    images = [(data / f"train/bar/{i:03d}.png").read_bytes() for i in range(2)]
    for name, image in zip(("test", "train"), images, strict=True):  # of one class in both parts
        sample = {"png": image, "cls": b"x"}
        contents = [("same", sample), ("between", {"txt": b""}), ("same", sample)]
        write_shard(tmp_path / "a" / f"{name}-x.tar", contents)
    run, _ = split(in_shards(data, tmp_path / "a", []), "one")
    assert "@" in run.split_list_file.read_text()
    other, _ = again(tmp_path / "a", "two", run.split_list_file)
    assert other.split_list_file.read_bytes() == run.split_list_file.read_bytes()


@pytest.mark.parametrize("how", ["record of chips", "setting"])
def test_pixels_are_hashed_where_compression_may_differ(data, how):
    if how == "setting":
        run, made = split(data, "one", hash_of="pixels")
    else:
        (data / CHIPS).write_text(json.dumps({"complete": True, "settings": {}}))
        run, made = split(data, "one")
    assert read_split_list(run.split_list_file).hash_column == "pixels_sha256"
    changed = data / "train/square/001.png"
    before = changed.read_bytes()
    Image.open(changed).save(changed, compress_level=0)
    assert changed.read_bytes() != before
    other, taken = again(data, "two", run.split_list_file)
    assert other.split_list_file.read_bytes() == run.split_list_file.read_bytes()
    assert taken.train == made.train
    Image.open(changed).rotate(90).save(changed)
    with pytest.raises(DataError, match=r"1 of the 31 images differ .*pixels_sha256"):
        again(data, "three", run.split_list_file)


def test_the_hash_of_pixels_is_as_documented():
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    expected = hashlib.sha256(b"4 5 3\n" + pixels.tobytes()).hexdigest()
    for save, name in (
        (lambda file: Image.fromarray(pixels).save(file, "PNG"), "x.png"),
        (lambda file: np.save(file, pixels), "x.npy"),
    ):
        stream = io.BytesIO()
        save(stream)
        assert pixels_sha256(stream.getvalue(), name) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no split list: got '' after the comment lines, expected part,class,file,sha256"),
        ("file,label\n", "got 'file,label' after"),
        ("part,class,file,sha256\n" + ROWS, "no line '# num_head: N'"),
        (HEAD.replace("1", "2") + ROWS, "num_head is 2 with 2 classes"),
        (HEAD + "train,a\n", "line 3: got 2 columns"),
        (HEAD + ROWS + f"dev,a,a/3.png,{DIGEST}\n", "line 6: got part 'dev', expected train, val"),
        (HEAD + f"train,a,../a.png,{DIGEST}\n", "'../a.png' is no path inside"),
        (HEAD + f"train,..,a.png,{DIGEST}\n", "cannot name a folder"),
        (HEAD + "train,a,a.png,123\n", "got hash '123', expected 64"),
        (HEAD + ROWS + f"val,a,a/2.png,{DIGEST}\n", "lists 'a/2.png' more than once"),
        (HEAD + ROWS + f"test,c,c/2.png,{DIGEST}\n", "class 'c' has no row of part train"),
        (HEAD + ROWS.replace("test", "val"), "no row of part test"),
        (HEAD + 'train,a,"a.png,1\n', "line 3: unexpected end"),
    ],
)
def test_a_wrong_list_says_what_is_wrong(tmp_path, text, message):
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message.replace("(", r"\(")) as error:
        read_split_list(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["aid_lt_64", "vhr10_chips"])
def test_the_lists_of_our_tables_are_whole(name):
    file = Path(__file__).parents[2] / "scripts" / "experiments" / "splits" / f"{name}.csv"
    assert read_split_list(file).text().encode() == file.read_bytes()


def test_no_list_and_no_text_are_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no split list"):
        read_split_list(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_split_list(tmp_path / "x.csv")


def test_the_command_takes_a_list(data, in_tmp, monkeypatch, capsys):
    tgn = in_process(cli.main, monkeypatch, capsys)
    assert tgn("split", str(data), "--run", "one").code == 0
    list_file = in_tmp / "runs" / "one" / "split.csv"
    listed = ("split", str(data), "--from", str(list_file), "--run", "two")
    plan = tgn(*listed, "--dry-run")
    assert (plan.code, "square" in plan.stdout, "check_hashes" in plan.stdout) == (0, True, True)
    assert not (in_tmp / "runs" / "two").exists()
    assert tgn(*listed).code == 0
    assert (in_tmp / "runs" / "two" / "split.csv").read_bytes() == list_file.read_bytes()
    refused = tgn(*listed, "--set", "val_fraction=0.5")
    assert refused.code == 2
    assert "unknown setting 'val_fraction'; valid: list_file, check_hashes" in refused.stderr
    assert "check_hashes" in tgn("split", "--from", "x", "--help-settings").stdout
    next(data.rglob("*.png")).unlink()
    lacking = tgn(*listed[:-1], "three")
    assert (lacking.code, lacking.stderr.count("\n")) == (2, lacking.stderr.count("note") + 1)
