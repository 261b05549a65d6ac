"""One function finds images: what it takes, what it leaves out and why, wherever links lead."""

import os
import subprocess
from pathlib import Path

import pytest
from layout_support import counts, fill, plan
from odd_files_support import write_odd_files

from tgn.data.class_folders import pictures
from tgn.data.image_files import images_below, images_directly_in
from tgn.data.image_folders import folder_rows
from tgn.runtime.errors import DataError


def test_a_split_counts_whatever_it_leaves_out_and_says_why(tmp_path):
    data = fill(tmp_path / "d", a=6, b=6)
    expected = write_odd_files(data / "a")
    split = plan(data, val_fraction=0.0)
    assert sorted(sum(parts) for parts in counts(split).values()) == [6, 6]
    left_out = dict(split.left_out)
    assert left_out.keys() == {f"a/{name}" for name in expected}
    for name, reason in expected.items():
        assert reason in left_out[f"a/{name}"], name
    assert any("no regular file: 3 left out, e.g. a/fifo.png" in note for note in split.notes)


def test_a_link_in_place_of_a_class_folder_is_counted_if_it_leads_nowhere(tmp_path):
    data = fill(tmp_path / "d", a=6, b=6)
    (data / "c").symlink_to("nowhere")
    (data / "e").symlink_to("e")
    assert dict(plan(data).left_out) == {
        "c": "link to a file that is gone",
        "e": "link that leads to itself",
    }


def test_a_set_that_must_be_whole_names_what_cannot_be_read(tmp_path):
    data = fill(tmp_path / "d", a=2)
    (data / "a" / "x.txt").write_text("of another suffix")
    assert len(pictures(data / "a")) == len(folder_rows(data)) == 2
    os.mkfifo(data / "a" / "fifo.png")
    for read in (lambda: pictures(data / "a"), lambda: folder_rows(data)):
        with pytest.raises(DataError, match="fifo.png: no regular file; remove or replace it"):
            read()


def test_a_folder_is_read_once_whatever_links_lead_to_it(tmp_path):
    data = fill(tmp_path / "d", a=2)
    for k in range(30):  # two ways to each: a thousand million of paths
        (data / "a" / f"l{k}").mkdir()
        for name in "pq":
            (data / "a" / f"l{k}" / name).symlink_to(f"../l{k + 1}" if k < 29 else "..")
    found = images_below(data / "a")
    assert len(found.images) == 2
    assert {reason for _, reason in found.left_out} == {
        "folder that another link has led to",
        "link to a folder that holds it",
    }
    assert not found.broken


def test_folders_may_be_nested_deeper_than_calls(tmp_path):
    here = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1500):
            os.mkdir("x")  # noqa: PTH102
            os.chdir("x")
        os.mkfifo("x.png")
        os.chdir(here)
        assert len(images_below(tmp_path).left_out) == 1  # the pipe
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-r", str(tmp_path / "x")], check=True)  # pytest's calls end earlier


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_counted(tmp_path):
    data = fill(tmp_path / "d", a=2, b=2)
    (data / "a").chmod(0)
    assert "cannot be read" in images_below(data).left_out[0][1]


def test_files_of_other_suffixes_are_not_counted_beside_folders(tmp_path):
    (tmp_path / "README").write_text("x")
    (tmp_path / "x.PNG").write_bytes(b"x")
    found = images_directly_in(tmp_path)
    assert ([path.name for path in found.images], found.left_out) == (["x.PNG"], [])
