"""The manifest: sorted, streamed, and rid of what is gone."""

import json
import random
import tracemalloc

import pytest

from tgn.data.manifest import MANIFEST, ManifestRow, ManifestWriter, read_manifest
from tgn.runtime.errors import DataError


def row(label: int, index: int, **changes) -> ManifestRow:
    name = f"class{label}"
    given = {"file": f"{name}/{index:06d}.png", "folder": name, "class_index": label}
    return ManifestRow.model_validate({**given, "index": index, **changes})


def write(folder, rows, rank=0) -> ManifestWriter:
    for one in rows:
        (folder / one.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.file).touch()
    writer = ManifestWriter(folder, rank)
    writer.append(rows)
    return writer


def test_parts_of_several_processes_are_joined_in_order_without_repeats(tmp_path):
    rows = [row(label, index) for label in (2, 11) for index in range(5)]
    shuffled = random.Random(0).sample(rows, len(rows))
    write(tmp_path, shuffled[:6], rank=1)
    writer = write(tmp_path, shuffled[4:], rank=0)
    writer.finish()
    assert list(read_manifest(tmp_path)) == rows
    assert [path.name for path in tmp_path.glob("manifest*")] == [MANIFEST]


def test_a_row_written_again_takes_the_place_of_the_first(tmp_path):
    write(tmp_path, [row(0, 1, noise=0.1)]).finish()
    write(tmp_path, [row(0, 1, noise=0.9)]).finish()
    assert [one.noise for one in read_manifest(tmp_path)] == [0.9]


def test_rows_of_deleted_images_go(tmp_path):
    writer = write(tmp_path, [row(0, index) for index in range(3)])
    (tmp_path / row(0, 1).file).unlink()
    writer.finish()
    assert [one.index for one in read_manifest(tmp_path)] == [0, 2]


def test_memory_does_not_grow_with_the_manifest(tmp_path):
    def peak(count: int) -> int:
        writer = ManifestWriter(tmp_path / str(count))
        (writer.folder / "x").mkdir(parents=True)
        (writer.folder / "x" / "y.png").touch()
        for index in range(count):
            writer.append([row(0, index, file="x/y.png")])
        tracemalloc.start()
        writer.finish()
        sum(1 for _ in read_manifest(writer.folder))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(200), peak(4000)
    assert many < few + 200_000  # 4000 rows held would be some megabytes


@pytest.mark.parametrize("how", ["no JSON", "[1]"])
def test_settings_of_a_row_that_are_none_are_named(tmp_path, how):
    row = {"file": "a/0.png", "folder": "a", "class_index": 0, "index": 0, "how": how}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"manifest.jsonl .*see line 1"):
        list(read_manifest(tmp_path))
