"""Equal images and chips of one image lie on one side of every split."""

import shutil
from pathlib import Path

import pytest
import torch
from layout_support import counts, fill, picture, plan

from tgn.data.splits.folds import deal_out, make_folds
from tgn.data.splits.image_groups import draw_groups, source_of_chip

PARTS = ("train", "val", "test")


def parts_of(split) -> dict[str, str]:
    return {file: part for part in PARTS for file, _ in getattr(split, part)}


@pytest.mark.parametrize("seed", range(4))
def test_equal_images_of_a_class_go_to_one_part(tmp_path, seed):
    data = fill(tmp_path / "d", 1, a=20, b=20)
    for i in range(0, 20, 2):
        shutil.copy(data / f"a/{i:02d}.png", data / f"a/copy_of_{i:02d}.png")
    split = plan(data, seed=seed)
    part = parts_of(split)
    assert all(part[f"a/{i:02d}.png"] == part[f"a/copy_of_{i:02d}.png"] for i in range(0, 20, 2))
    assert counts(split)["a"][2] == 6
    assert set(part.values()) == set(PARTS)
    assert any(note.startswith("20 files have the bytes of 10 images") for note in split.notes)
    assert not split.conflicts


def test_an_image_in_two_classes_is_a_conflict_on_one_side(tmp_path):
    data = fill(tmp_path / "d", 1, a=20, b=20)
    for i in range(10):
        shutil.copy(data / f"a/{i:02d}.png", data / f"b/from_a_{i:02d}.png")
    split = plan(data)
    part = parts_of(split)
    assert all(part[f"a/{i:02d}.png"] == part[f"b/from_a_{i:02d}.png"] for i in range(10))
    assert split.conflicts[0] == ("a/00.png", "b/from_a_00.png")
    assert len(split.conflicts) == 10
    assert any(note.startswith("conflict: 10 images are in two classes") for note in split.notes)


def test_given_parts_lose_what_a_later_part_has(tmp_path):
    for seed, part in enumerate(PARTS):
        fill(tmp_path / "d" / part, seed, a=6, b=6)
    shutil.copy(tmp_path / "d/test/a/00.png", tmp_path / "d/val/a/x.png")
    shutil.copy(tmp_path / "d/test/b/00.png", tmp_path / "d/train/a/y.png")
    shutil.copy(tmp_path / "d/val/a/00.png", tmp_path / "d/train/a/z.png")
    split = plan(tmp_path / "d")
    assert counts(split) == {"a": (6, 6, 6), "b": (6, 6, 6)}
    assert {file for file, _ in split.left_out} == {"val/a/x.png", "train/a/y.png", "train/a/z.png"}
    assert split.conflicts == (("train/a/y.png", "test/b/00.png"),)


def chips(root: Path, images: int, each: int) -> Path:
    for k in range(images):
        for n in range(each):
            name = "ab"[n % 2]
            picture(root / "train" / name / f"scene_{k:02d}_{n}.png", 100 * k + n)
    (root / "chips.json").write_text('{"complete": true, "settings": {}}')
    return root


def test_chips_of_one_image_are_on_one_side_of_validation_and_folds(tmp_path):
    split = plan(chips(tmp_path / "d", images=20, each=6), test_fraction=0.2)
    part = parts_of(split)
    sides: dict[str, set[str]] = {}
    for file, side in part.items():
        sides.setdefault(source_of_chip(file), set()).add(side)
    assert len(sides) == 20
    assert all(len(side) == 1 for side in sides.values())
    assert {side for one in sides.values() for side in one} == set(PARTS)
    files, labels = zip(*split.train, strict=True)
    folds = make_folds(files, labels, 3, 0, split.groups)
    dealt: dict[str, set[int]] = {}
    for file, fold in folds.fold_of.items():
        dealt.setdefault(source_of_chip(file), set()).add(fold)
    assert all(len(fold) == 1 for fold in dealt.values())
    sizes = [list(folds.fold_of.values()).count(k) for k in range(3)]
    assert max(sizes) - min(sizes) <= 6


def test_the_images_of_a_part_know_their_groups(tmp_path):
    data = chips(tmp_path / "d", images=6, each=4)
    split = plan(data, test_fraction=0.4).model_copy(update={"root": str(data)})
    images = split.image_set("train", tmp_path, 8)
    names = [source_of_chip(file) for file, _ in split.train]
    groups = images.groups.tolist()
    assert len(set(groups)) == len(set(names)) > 1
    assert len(set(zip(names, groups, strict=True))) == len(set(names))
    rows = torch.tensor([1, 5])
    assert images.subset(rows).groups.tolist() == [groups[1], groups[5]]
    assert images.at_size(16).groups is images.groups
    alone = plan(fill(tmp_path / "alone", 1, a=4, b=4))
    assert alone.model_copy(update={"root": str(data)}).image_set("train", data, 8).groups is None


def test_rows_that_are_alone_are_dealt_out_as_without_groups():
    labels = torch.tensor([0] * 10 + [1] * 7 + [2])
    alone = torch.arange(18)
    assert torch.equal(deal_out(labels, 4, 3), deal_out(labels, 4, 3, alone))


def test_drawing_without_groups_takes_the_first_of_every_class():
    order = {"a": ["1", "2", "3"], "b": ["4", "5"]}
    assert draw_groups(order, {"a": 2, "b": 1}, {}) == {"1", "2", "4"}


def test_drawing_groups_never_takes_more_than_wanted_and_leaves_one():
    order = {"a": ["1", "2", "3", "4"], "b": ["5", "6"]}
    groups = {"1": 0, "2": 0, "5": 0, "3": 1, "4": 1}
    assert draw_groups(order, {"a": 2, "b": 0}, groups) == {"3", "4"}
    assert draw_groups(order, {"a": 1, "b": 0}, groups) == {"3", "4"}  # the smallest that can be
    assert draw_groups(order, {"a": 1, "b": 1}, dict.fromkeys("123456", 0)) == set()
