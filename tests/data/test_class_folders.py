"""Class folders without a manifest: by name, by position in the tail, or refused."""

import pytest
import torch

from tgn.data.images import encode_image
from tgn.data.manifest import active_rows, folder_note
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import write_bytes


@pytest.fixture
def split(fake_run):
    """Return a split of square and disc (head), bar and cross (tail)."""
    return fake_run.split().model_copy(update={"num_head": 2})


def named(split, *folders: str):
    """Return the split with other class folders."""
    pairs = zip(split.classes, folders, strict=True)
    classes = tuple(entry.model_copy(update={"folder": name}) for entry, name in pairs)
    return split.model_copy(update={"classes": classes})


def write(folder, *names: str):
    for name in names:
        picture = torch.zeros(3, 8, 8, dtype=torch.uint8)
        write_bytes(folder / name / "0.png", encode_image(picture, "png"))
    return folder


def labels(folder, split) -> dict[str, int]:
    return {row.file.split("/")[0]: row.class_index for row in active_rows(folder, split)}


def test_names_of_classes_count(tmp_path, split):
    folder = write(tmp_path / "made", "square", "cross")
    (folder / "previews").mkdir()  # without images
    assert labels(folder, split) == {"square": 0, "cross": 3}
    assert folder_note(folder, split) == ""


def test_numbers_are_positions_in_the_tail_and_it_is_said(tmp_path, split):
    folder = write(tmp_path / "result", "0", "1")
    assert labels(folder, split) == {"0": 2, "1": 3}
    assert {row.folder for row in active_rows(folder, split)} == {"bar", "cross"}
    note = folder_note(folder, split)
    assert note.endswith("positions in the tail: 0 = bar, 1 = cross")
    assert len(note.splitlines()) == 1


def test_a_number_that_is_a_class_too_is_refused(tmp_path, split):
    numbers = named(split, "0", "1", "2", "3")  # position 0 in the tail is class "2"
    folder = write(tmp_path / "result", "0", "1")
    with pytest.raises(UserError, match="rename all such folders, to class-0 or tail-0"):
        list(active_rows(folder, numbers))
    (folder / "0").rename(folder / "tail-0")
    (folder / "1").rename(folder / "class-1")
    assert labels(folder, numbers) == {"class-1": 1, "tail-0": 2}


def test_numbers_that_can_be_read_in_one_way_only_are_read_so(tmp_path, split):
    numbers = named(split, "0", "1", "2", "3")
    assert labels(write(tmp_path / "a", "2", "3"), numbers) == {"2": 2, "3": 3}
    assert labels(write(tmp_path / "b", "0", "2"), numbers) == {"0": 0, "2": 2}
    reversed_ = named(split, "3", "2", "0", "1")  # both readings say the same
    assert labels(write(tmp_path / "c", "0", "1"), reversed_) == {"0": 2, "1": 3}


@pytest.mark.parametrize("name", ["2", "circle", "tail-2", "class-0"])
def test_a_folder_of_no_class_is_refused(tmp_path, split, name):
    folder = write(tmp_path / "made", "square", name)
    with pytest.raises(UserError, match=rf"folder '{name}', which is no class of the run"):
        list(active_rows(folder, split))
    (folder / name / "0.png").unlink()
    assert labels(folder, split) == {"square": 0}


def test_nothing_is_still_nothing(tmp_path, split):
    with pytest.raises(NotFoundError, match="tgn generate"):
        list(active_rows(tmp_path / "nowhere", split))


def test_hidden_files_and_folders_are_no_images(tmp_path, split):
    folder = write(tmp_path / "made", "square", ".thumbnails")
    (folder / "square" / "._0.png").write_bytes(b"")
    assert [row.file for row in active_rows(folder, split)] == ["square/0.png"]
