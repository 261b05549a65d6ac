"""Two commands that make a run of one name: one makes it, the other is told."""

import os
import shutil
import subprocess
import sys

import pytest

from tgn.data.runs import new_run
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.progress import Silent

# A split that waits in the midst of its work until its stdin is closed.
SLOW_SPLIT = """
import sys
from pathlib import Path
from tgn.data.splits import make_split
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.progress import Silent
real = make_split.read_images
def waits(*args):
    print("reads", flush=True)
    sys.stdin.read()
    return real(*args)
make_split.read_images = waits
make_split.split_run(Path("data"), "one", SplitSettings(), Silent())
"""


def test_of_two_splits_of_one_name_one_wins_and_the_other_is_told(in_tmp, fake_folder):
    data = fake_folder({"a": 6, "b": 4})
    first = subprocess.Popen(
        [sys.executable, "-c", SLOW_SPLIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline() == "reads\n"
        with pytest.raises(UserError, match="another process uses .*one; .* another --run"):
            split_run(data, "one", SplitSettings(), Silent())
        first.communicate("")
    finally:
        first.kill()
    assert first.returncode == 0
    with pytest.raises(UserError, match="run 'one' exists"):
        split_run(data, "one", SplitSettings(), Silent())


def test_a_killed_split_is_in_nobodys_way(in_tmp, fake_folder):
    data = fake_folder({"a": 6, "b": 4})
    killed = subprocess.Popen(
        [sys.executable, "-c", SLOW_SPLIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout.readline() == "reads\n"
    killed.kill()
    killed.communicate()
    half = in_tmp / "runs" / "one" / ".split.json.abc.part"
    half.write_text("{")
    run, _ = split_run(data, "one", SplitSettings(), Silent())
    assert run.record_file.is_file()
    assert not half.exists()


@pytest.mark.parametrize("name", ["../x", "..", "/tmp/x", "a/b", ""])
def test_a_run_has_a_plain_name(name, in_tmp):
    with pytest.raises(UserError, match="--run got"), new_run(name):
        pass
    assert os.listdir(in_tmp) == []  # noqa: PTH208


def zipped(data, target):
    shutil.make_archive(str(target.with_suffix("")), "zip", data)
    return target


def test_what_was_unpacked_for_a_split_that_failed_is_deleted_by_the_next(in_tmp, fake_folder):
    data = fake_folder({"a": 6, "b": 4})
    archive = zipped(data, in_tmp / "d.zip")
    unpacked = in_tmp / "runs" / "one" / "data"
    wrong = SplitSettings.model_validate({"range": "0,1"})  # every image is of bytes
    with pytest.raises(DataError, match="range got '0,1'"):
        split_run(archive, "one", wrong, Silent())
    assert unpacked.is_dir()
    split_run(data, "one", SplitSettings(), Silent())
    assert not unpacked.exists()
    split_run(archive, "two", SplitSettings(), Silent())
    assert {path.name for path in (in_tmp / "runs" / "two").iterdir()} >= {"data", "run.yaml"}
    assert not list((in_tmp / "runs" / "two").glob(".data*"))


def test_a_folder_that_no_split_unpacked_is_not_deleted(in_tmp, fake_folder):
    archive = zipped(fake_folder({"a": 6, "b": 4}), in_tmp / "d.zip")
    own = in_tmp / "runs" / "one" / "data" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("of the user")
    with pytest.raises(UserError, match="data exists and no split made it"):
        split_run(archive, "one", SplitSettings(), Silent())
    assert own.read_text() == "of the user"
