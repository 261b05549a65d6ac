import errno
from pathlib import Path

import pytest

from tgn.runtime import files
from tgn.runtime.locks import exclusive_writer


def test_atomic_write_replaces_whole(tmp_path: Path):
    path = tmp_path / "deep" / "a.json"
    files.write_json(path, {"a": 1})
    files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 2}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nan_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert list(files.read_json_lines(path)) == [{"a": 1}, {"a": 2}]


def test_sha256_of_a_known_text(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_what_a_killed_writer_left_goes_when_the_next_one_begins(tmp_path):
    for name in (".state.pt.abc.part", "ship/.000001.png.xyz.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "ship" / "whole.part").write_bytes(b"a file of the user")
    with exclusive_writer(tmp_path):
        assert [path.name for path in tmp_path.rglob("*.part")] == ["whole.part"]


def test_that_nothing_can_be_written_is_found_out_before_long_work(tmp_path, monkeypatch):
    files.require_writable(tmp_path)
    files.require_writable(tmp_path / "missing")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(OSError, match=tmp_path.name):
        files.require_writable(tmp_path)


def test_of_several_files_at_once_the_one_that_failed_is_named(tmp_path):
    (tmp_path / "file").touch()
    inner = tmp_path / "file" / "below.txt"
    with (
        pytest.raises(OSError, match="below.txt") as caught,
        files.atomic_path(tmp_path / "outer.csv"),
        files.atomic_path(inner),
    ):
        pass
    assert caught.value.filename == str(inner)
    assert not (tmp_path / "outer.csv").exists()
