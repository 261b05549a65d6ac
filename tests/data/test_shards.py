"""Shards: written so that others read them, read without unpacking, refused when odd."""

import io
import json
import tarfile

import pytest
import torch
import webdataset

from tgn.data.image_set import ImageSet
from tgn.data.shards import (
    container_of,
    member_exists,
    member_name,
    member_sha256,
    read_file,
    samples,
    write_shard,
)
from tgn.data.splits.make_split import plan_split
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Silent

CONTENTS = [
    (f"air port/{k:03d}", {"png": bytes([k]) * (600 + k), "cls": b"3", "json": b'{"x": 1}'})
    for k in range(5)
]


def names(shard):
    return [shard.parent / member_name(shard.name, sample, "png") for sample in samples(shard)]


def test_what_was_written_is_read_by_its_place(tmp_path):
    shard = tmp_path / "a.tar"
    written = write_shard(shard, iter(CONTENTS))
    assert written == list(samples(shard))
    for path, (_, members) in zip(names(shard), CONTENTS, strict=True):
        assert read_file(path) == members["png"]
        assert (path.suffix, member_exists(path), container_of(path)) == (".png", True, shard)


def test_equal_contents_are_equal_bytes(tmp_path):
    for name in "ab":
        write_shard(tmp_path / f"{name}.tar", CONTENTS)
    assert member_sha256(tmp_path / "a.tar") == member_sha256(tmp_path / "b.tar")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves it open
def test_the_webdataset_package_reads_our_shards(tmp_path):
    write_shard(tmp_path / "a.tar", CONTENTS)
    found = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == [key for key, _ in CONTENTS]
    assert [sample["png"] for sample in found] == [members["png"] for _, members in CONTENTS]
    assert found[0]["cls"] == b"3"


def test_a_plain_file_is_read_as_it_is(tmp_path):
    odd = tmp_path / "a@1+2.png"  # looks like a place, but lies in no shard
    odd.write_bytes(b"abc")
    assert (read_file(odd), member_exists(odd), container_of(odd)) == (b"abc", True, odd)


def test_a_shard_that_got_shorter_is_noticed(tmp_path):
    shard = tmp_path / "a.tar"
    write_shard(shard, CONTENTS)
    last = names(shard)[-1]
    with shard.open("r+b") as file:
        file.truncate(2000)
    assert not member_exists(last)
    with pytest.raises(DataError, match="ends before byte"):
        ImageSet([last], [0], 16).batch(torch.tensor([0]))


def test_what_is_no_shard_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar file" * 200)
    with pytest.raises(DataError, match="no whole tar"):
        list(samples(tmp_path / "a.tar"))
    with tarfile.open(tmp_path / "b.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x.png"))
    with pytest.raises(DataError, match="unpack"):
        list(samples(tmp_path / "b.tar"))
    for name in ("../x.png", "/x.png", "a/.png"):
        with tarfile.open(tmp_path / "c.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(DataError, match="leads outside or has no name"):
            list(samples(tmp_path / "c.tar"))


def test_a_shard_that_is_cut_damaged_or_joined_is_an_error(tmp_path):
    shard = tmp_path / "a.tar"
    written = write_shard(shard, CONTENTS)
    data = shard.read_bytes()
    third = written[2].places["png"][0] - tarfile.BLOCKSIZE  # where its header begins
    changed = bytearray(data)
    changed[third + 5] ^= 1
    for content, message in (
        (data[:third], f"cut short at byte {third}"),
        (data[: third + 100], "cut short|no whole tar"),
        (bytes(changed), f"damaged at byte {third}"),
        (data + data, "goes on behind its end"),
    ):
        shard.write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(samples(shard))


def test_members_that_a_file_system_added_are_skipped_and_counted(fake_folder, tmp_path):
    data = fake_folder({"a": 6, "b": 6}, test=0)
    (tmp_path / "s").mkdir()
    with tarfile.open(tmp_path / "s" / "x.tar", "w") as tar:
        for path in sorted((data / "train").rglob("*.png")):
            key = f"{path.parent.name}{path.stem}"
            members = {f"{key}.png": path.read_bytes(), f"{key}.cls": path.parent.name.encode()}
            for name, content in members.items():
                for put in (name, f"._{name}", f"__MACOSX/{name}"):
                    info = tarfile.TarInfo(put)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    split = plan_split(tmp_path / "s", SplitSettings(), Silent())
    assert sum(e.train + e.val + e.test for e in split.classes) == 12
    assert len(split.left_out) == 48
    assert any("hidden member of a shard: 48 left out" in note for note in split.notes)


def in_shards(data, target, describe):
    """Write DATA/train and DATA/test as shards of four images; return the folder."""
    classes = sorted(path.name for path in (data / "train").iterdir())
    for part in ("train", "test"):
        files = sorted((data / part).rglob("*.png"))
        for number in range(0, len(files), 4):
            some = files[number : number + 4]
            contents = [
                (
                    path.stem + path.parent.name,
                    {"png": path.read_bytes(), **describe(path, classes)},
                )
                for path in some
            ]
            write_shard(target / f"{part}-{number // 4:04d}.tar", contents)
    (target / "classnames.txt").write_text("\n".join(classes))
    return target


@pytest.mark.parametrize(
    "describe",
    [
        lambda path, classes: {"cls": str(classes.index(path.parent.name)).encode()},
        lambda path, _: {"json": json.dumps({"label": path.parent.name}).encode()},
    ],
)
def test_a_split_of_shards_is_that_of_the_folder(fake_folder, tmp_path, describe):
    data = fake_folder({"square": 9, "disc": 5, "bar": 3})
    shards = in_shards(data, tmp_path / "shards", describe)
    settings = SplitSettings(val_fraction=0.0)
    plain, sharded = (plan_split(root, settings, Silent()) for root in (data, shards))
    assert sharded.classes == plain.classes
    for part in ("train", "test"):
        digests = [
            sorted((member_sha256(root / file), label) for file, label in getattr(split, part))
            for root, split in ((data, plain), (shards, sharded))
        ]
        assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"cls": b"../x"}, "'../x' cannot name a folder"),
        ({"cls": b"1"}, "'../../out' cannot name a folder"),
        ({}, "expected a .cls"),
        ({"json": b"{"}, "no JSON"),
    ],
)
def test_a_sample_without_a_usable_class_is_an_error(fake_folder, tmp_path, members, message):
    stream = io.BytesIO(next(fake_folder({"a": 1, "b": 1}).rglob("*.png")).read_bytes())
    write_shard(tmp_path / "s" / "train.tar", [("x", {"png": stream.getvalue(), **members})])
    (tmp_path / "s" / "classnames.txt").write_text("ship\n../../out\n")
    with pytest.raises(DataError, match=message):
        plan_split(tmp_path / "s", SplitSettings(), Silent())
