"""Files of others: nothing that is no file is read, and nothing larger than its kind may be."""

import os

import pytest
from odd_files_support import sparse

from tgn.data.annotations.readers import read_annotations
from tgn.data.splits.class_names import class_names
from tgn.data.splits.split_list import read_split_list
from tgn.data.tables import table_rows
from tgn.runtime.errors import DataError
from tgn.runtime.files import read_json, read_json_lines
from tgn.runtime.regular_files import NotReadableError, read_regular
from tgn.runtime.text_files import read_text, read_yaml


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link", 3) == b"abc"
    with pytest.raises(NotReadableError, match="a is of 0 MiB, over the limit of 0 MiB"):
        read_regular(tmp_path / "a", 2)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "b")


def test_what_is_no_file_is_called_by_its_kind(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("fifo", "a FIFO"), ("zero", "a device"), ("", "a folder")):
        with pytest.raises(NotReadableError, match=f"{name} is {kind}.*expected a regular file"):
            read_regular(tmp_path / name)


READERS = {
    "text": read_text,
    "yaml": read_yaml,
    "table": lambda file: list(table_rows(file, ("file",))),
    "split list": read_split_list,
    "class names": lambda file: class_names(file.parent, ["a"], str(file)),
    "labels of COCO": lambda file: read_annotations(file, file.parent),
    "JSON": read_json,
    "lines of JSON": lambda file: list(read_json_lines(file)),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_takes_no_memory_for_a_file_with_a_hole(reader, tmp_path):
    file = tmp_path / "names.json"
    sparse(file, size=8 << 30)
    with pytest.raises(DataError, match="names.json"):
        READERS[reader](file)


@pytest.mark.parametrize("reader", ["text", "yaml", "JSON", "lines of JSON"])
def test_a_reader_does_not_wait_for_a_pipe(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is a FIFO"):
        READERS[reader](tmp_path / "pipe")


@pytest.mark.parametrize("suffix", [".txt", ".xml"])
def test_labels_that_are_no_files_are_problems_beside_the_others(suffix, tmp_path, fake_folder):
    images = fake_folder({"a": 2}) / "train" / "a"
    labels = tmp_path / "labels"
    labels.mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = {
        ".txt": "1 1 9 1 9 9 1 9 ship 0",
        ".xml": f"<annotation><object><name>ship</name>{box}</object></annotation>",
    }
    (labels / f"000{suffix}").write_text(text[suffix])
    os.mkfifo(labels / f"001{suffix}")
    sparse(labels / f"002{suffix}")
    found = read_annotations(labels, images)
    assert [one.class_name for one in found.objects] == ["ship"]
    assert ["FIFO" in found.problems[0], "over the limit" in found.problems[1]] == [True, True]
