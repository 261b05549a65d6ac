"""Shards: written so that others read them, read without unpacking, refused when odd."""

import io
import json
import os
import tarfile

import pytest
import torch
import webdataset
from odd_files_support import sparse

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


def member(name, kind=tarfile.REGTYPE, size=0, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    return info


def test_hard_links_are_what_they_name_and_other_links_are_counted(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member("0.png", size=3), io.BytesIO(b"abc"))
        tar.addfile(member("0.cls", size=1), io.BytesIO(b"7"))
        tar.addfile(member("1.png", tarfile.LNKTYPE, target="0.png"))
        tar.addfile(member("1.cls", tarfile.LNKTYPE, target="0.cls"))
        tar.addfile(member("2.png", tarfile.LNKTYPE, target="elsewhere.png"))
        tar.addfile(member("3.png", tarfile.SYMTYPE, target="../../etc/passwd"))
        tar.addfile(member("4.png", tarfile.FIFOTYPE))
        tar.addfile(member("0.png", size=3), io.BytesIO(b"abc"))
        tar.addfile(member("0.png", size=3), io.BytesIO(b"abd"))
        tar.addfile(member("folder", tarfile.DIRTYPE))
    left_out = []
    found = list(samples(tmp_path / "a.tar", left_out))
    assert [sample.key for sample in found] == ["0", "1", "0"]
    assert found[0].places == found[1].places
    assert [name for name, _ in left_out] == ["2.png", "3.png", "4.png", "0.png"]
    reasons = [reason.split(";")[0] for _, reason in left_out]
    assert reasons[0] == reasons[1] == "link in a shard"
    assert reasons[2:] == ["no regular file in a shard", "second member of its name"]


def test_sparse_members_are_counted(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        body = b"1\n0\n3\n".ljust(512, b"\0") + b"abc"
        info = member("0.png", size=len(body))
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        info.pax_headers |= {"GNU.sparse.name": "0.png", "GNU.sparse.realsize": "9000"}
        tar.addfile(info, io.BytesIO(body))
    left_out = []
    assert not list(samples(tmp_path / "a.tar", left_out))
    assert left_out == [("0.png", "sparse member of a shard; pack it without --sparse")]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            b"\xff" * 10 + b"\xfc\x00",
            "cut short: 'x.png' ends at byte -512",
        ),  # it would be read for ever
        (b"\x80" + b"\0" * 4 + b"\x7f" * 7, "cut short: 'x.png'"),
        (b"00000010000\0", "cut short: 'x.png' ends at byte 4608"),
    ],
)
def test_a_member_that_cannot_have_its_size_is_an_error(tmp_path, size, message):
    header = bytearray(member("x.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    total = sum(header[:148]) + sum(header[156:]) + 8 * ord(" ")
    header[148:156] = b"%06o\0 " % total
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(DataError, match=message):
        list(samples(tmp_path / "a.tar"))


def test_a_header_of_gigabytes_and_an_end_without_end_are_errors(tmp_path):
    header = member("x.png", tarfile.XHDTYPE, 3 << 30).tobuf(tarfile.GNU_FORMAT)
    sparse(tmp_path / "a.tar", header, 4 << 30)
    with pytest.raises(DataError, match="a header of 3221225472 bytes"):
        list(samples(tmp_path / "a.tar"))
    sparse(tmp_path / "b.tar", member("x.png").tobuf(tarfile.GNU_FORMAT), 8 << 30)
    with pytest.raises(DataError, match="nothing but zeros from byte 512 on"):
        list(samples(tmp_path / "b.tar"))


def test_only_files_are_shards_and_what_lies_beside_them_is_counted(fake_folder, tmp_path):
    shards = in_shards(
        fake_folder({"a": 6, "b": 6}),
        tmp_path / "s",
        lambda path, classes: {"cls": str(classes.index(path.parent.name)).encode()},
    )
    (shards / "train-9.tar.gz").write_bytes(b"x")
    split = plan_split(shards, SplitSettings(), Silent())
    assert split.left_out == (("train-9.tar.gz", "suffix .gz is not read"),)
    os.mkfifo(shards / "train-8.tar")
    with pytest.raises(DataError, match="train-8.tar is a FIFO"):
        plan_split(shards, SplitSettings(), Silent())


def test_a_folder_may_be_called_as_a_shard(fake_folder):
    data = fake_folder({"a.tar": 6, "b": 6}, test=0) / "train"
    assert [entry.folder for entry in plan_split(data, SplitSettings(), Silent()).classes] == [
        "a.tar",
        "b",
    ]


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
