"""Detection data in one form, and tiles of large images."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import paired_iou
from classify.detection.data.dataset import (
    DetectionDataset,
    keep_empty_share,
    make_dataset,
    split_dataset,
    without_unknown,
)
from classify.detection.data.samples import load_sample
from classify.detection.data.tiling import (
    Tile,
    boxes_in_tile,
    merge_detections,
    tile_grid,
    visible_fraction,
)
from tgn.data.annotations.readers import read_annotations
from tgn.runtime.errors import DataError

SHIP = [[10, 10], [40, 20], [36.84, 29.49], [6.84, 19.49]]  # 31.6 x 10, oblique


@pytest.fixture
def dota(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labelTxt"
    for folder in (images, labels):
        folder.mkdir()
    for name in ("a", "b", "empty"):
        Image.new("RGB", (100, 80)).save(images / f"{name}.png")
    corners = " ".join(str(value) for point in SHIP for value in point)
    (labels / "a.txt").write_text(f"gsd:0.3\n{corners} ship 0\n{corners} ship 1\n")
    (labels / "b.txt").write_text("50 50 60 50 60 60 50 60 plane 0\n1 1 1 1 1 1 1 1 ship 0\n")
    (labels / "empty.txt").write_text("")
    return read_annotations(labels, images)


def test_rotated_data_keep_the_angle_and_empty_images(dota):
    data = make_dataset(dota, rotated=True)
    assert data.classes == ("ship", "plane")
    assert [image.path.stem for image in data.images] == ["a", "b", "empty"]
    assert data.is_rotated
    ship = data.images[0]
    _, _, width, height, angle = ship.boxes[0].tolist()
    assert (width, height) == (pytest.approx(31.6, abs=0.1), pytest.approx(10, abs=0.1))
    assert angle == pytest.approx(math.atan2(10, 30), abs=1e-3)
    assert ship.difficult.tolist() == [False, True]
    assert data.images[2].boxes.shape == (0, 5)
    assert len(dota.problems) == 1  # the one without area


def test_an_outline_of_yolo_gives_a_rotated_box(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "classes.txt").write_text("ship\n")
    bow = [[38.42, 24.74]]  # between the two front corners
    corners = [*SHIP[:2], *bow, *SHIP[2:]]
    places = " ".join(str(value / 100) for point in corners for value in point)
    (tmp_path / "labels" / "a.txt").write_text(f"0 {places}\n")
    annotations = read_annotations(tmp_path / "labels", tmp_path)
    (box,) = make_dataset(annotations, rotated=True).images[0].boxes.tolist()
    assert box[2:4] == [pytest.approx(31.6, abs=0.1), pytest.approx(10, abs=0.1)]
    assert box[4] == pytest.approx(math.atan2(10, 30), abs=1e-3)


def test_upright_data_take_the_enclosing_box(dota):
    data = make_dataset(dota, rotated=False)
    torch.testing.assert_close(
        data.images[0].boxes[0], torch.tensor([6.84, 10.0, 40.0, 29.49]), atol=1e-3, rtol=0
    )
    assert data.images[2].boxes.shape == (0, 4)


def test_coco_images_without_objects_are_there_and_missing_files_named_once(tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "x.png")
    Image.new("RGB", (50, 50)).save(tmp_path / "y.png")
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(["x", "y", "gone"])]
    boxes = [{"id": k, "image_id": i, "category_id": 1, "bbox": [5, 5, 10, 10]}
             for k, i in enumerate((0, 2, 2))]  # fmt: skip
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ship"}]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    found = read_annotations(tmp_path / "labels.json", tmp_path)
    assert [path.stem for path in found.images] == ["x", "y"]
    assert len(found.problems) == 1
    assert "gone.png" in found.problems[0]
    assert [len(image.boxes) for image in make_dataset(found, rotated=False).images] == [1, 0]


def test_labels_that_are_no_area_are_named(tmp_path):
    (tmp_path / "labels").mkdir()
    Image.new("RGB", (100, 100)).save(tmp_path / "a.png")
    rows = [
        "10 10 nan 20 30 30 12 25 ship 0",
        "0 0 inf 0 inf 20 0 20 ship 0",
        "10 10 50 50 90 90 50 50 ship 0",
        "10 10 40 40 40 10 10 40 ship 0",
        "10 10 60 10 60 10.004 10 10.004 ship 0",
        "26 91 28 71 23 78 61 99 ship 0",
        "10 10 40 10 40 40 10 40 ship 0",
    ]
    (tmp_path / "labels" / "a.txt").write_text("\n".join(rows))
    found = read_annotations(tmp_path / "labels", tmp_path)
    assert len(found.objects) == 1
    lines = [problem.split("line ", 1)[1] for problem in found.problems]
    assert [line[:2] for line in lines] == ["1:", "2:", "3:", "4:", "5:", "6:"]
    assert all("finite numbers" in line for line in lines[:2])
    assert all("zero area" in line for line in lines[2:5])
    assert "crosses" in found.problems[5]


def test_images_without_labels_are_read_where_images_are_given_twice(tmp_path):
    for name in ("b", "a"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
    found = read_annotations(tmp_path, tmp_path)
    data = make_dataset(found, rotated=True, classes=("ship",))
    assert [image.path.stem for image in data.images] == ["a", "b"]
    assert data.images[0].boxes.shape == (0, 5)
    with pytest.raises(DataError, match="no labelled object"):
        make_dataset(found, rotated=True)


def test_crowds_are_evaluated_but_not_learned(tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "x.png")
    boxes = [{"id": k, "image_id": 0, "category_id": 1, "bbox": [5, 5, 10, 10 + k], "iscrowd": k}
             for k in range(2)]  # fmt: skip
    images = [{"id": 0, "file_name": "x.png"}]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ship"}]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = make_dataset(read_annotations(tmp_path / "labels.json", tmp_path), rotated=False)
    assert data.images[0].crowd.tolist() == data.images[0].difficult.tolist() == [False, True]
    assert load_sample(data.images[0]).boxes.tolist() == [[5, 5, 15, 15]]


def test_classes_of_another_part_are_kept_and_unknown_ones_refused(dota):
    assert make_dataset(dota, True, ("tank", "plane", "ship")).images[0].labels.tolist() == [2, 2]
    known = make_dataset(dota, True, ("Plane", "SHIP"))
    assert (known.classes, known.images[0].labels.tolist()) == (("Plane", "SHIP"), [1, 1])
    with pytest.raises(DataError, match="plane: not among the classes of the training"):
        make_dataset(dota, True, ("ship",))
    fewer = without_unknown(dota, ("Ship",))
    assert [len(image.boxes) for image in make_dataset(fewer, True, ("Ship",)).images] == [2, 0, 0]
    assert fewer.notes == ["objects of classes that the training lacks are left out: plane (1)"]
    assert without_unknown(dota, ("ship", "plane")) is dota


def test_a_share_of_the_images_without_objects_is_kept(dota):
    data = make_dataset(dota, rotated=True)
    crowd = replace(data.images[1], crowd=torch.ones(1, dtype=torch.bool))
    several = DetectionDataset(data.classes, (data.images[0], crowd, *data.images[2:] * 9))
    for share, count in ((0.0, 1), (0.5, 6), (1.0, 11)):
        kept, num_empty = keep_empty_share(several, share, seed=0)
        assert (len(kept.images), num_empty) == (count, 10)
        assert kept.images[0] is data.images[0]


def test_the_test_part_is_split_by_image_and_seed(dota):
    data = make_dataset(dota, True)
    train, test = split_dataset(data, 0.34, seed=3)
    assert (len(train.images), len(test.images)) == (2, 1)
    assert {s.path for s in train.images}.isdisjoint(s.path for s in test.images)
    assert split_dataset(data, 0.34, seed=3)[1].images[0].path == test.images[0].path
    with pytest.raises(DataError, match="cannot be split"):
        split_dataset(data, 0.01, seed=0)
    tiles = [replace(s, path=Path(f"P{k}__1__{j}___0.png")) for k, s in enumerate(data.images)
             for j in range(4)]  # fmt: skip
    train, test = split_dataset(DetectionDataset(data.classes, tuple(tiles)), 0.34, seed=3)
    assert (len(train.images), len(test.images)) == (8, 4)
    assert len({s.path.name.split("__")[0] for s in test.images}) == 1


@pytest.mark.parametrize(("width", "height"), [(100, 80), (40, 300), (64, 64), (65, 129), (7, 9)])
def test_tiles_cover_every_pixel_and_overlap(width, height):
    seen = torch.zeros(height, width, dtype=torch.int64)
    found = tile_grid(width, height, 64, 16)
    for left, top, wide, high in found:
        assert left + wide <= width
        assert top + high <= height
        seen[top : top + high, left : left + wide] += 1
    assert (seen > 0).all()
    lefts = sorted({tile.left for tile in found})
    assert all(b - a <= 48 for a, b in zip(lefts[:-1], lefts[1:], strict=True))
    with pytest.raises(ValueError, match="overlap"):
        tile_grid(10, 10, 8, 8)


def test_boxes_of_a_tile_are_in_pixels_of_the_tile():
    boxes = torch.tensor([[10.0, 10, 30, 30], [58, 10, 70, 30], [90, 90, 95, 95]])
    tile = Tile(8, 8, 56, 56)
    torch.testing.assert_close(visible_fraction(tile, boxes), torch.tensor([1.0, 0.5, 0.0]))
    expected = torch.tensor([[2.0, 2, 22, 22], [50, 2, 56, 22]])
    torch.testing.assert_close(boxes_in_tile(tile, boxes[:2]), expected)
    lying = torch.tensor([[60.0, 20.0, 20.0, 10.0, 0.0]])
    torch.testing.assert_close(visible_fraction(tile, lying), torch.tensor([0.7]))
    torch.testing.assert_close(
        boxes_in_tile(tile, lying), torch.tensor([[52.0, 12.0, 20.0, 10.0, 0.0]])
    )


@pytest.mark.parametrize("rotated", [False, True])
def test_detections_of_tiles_are_merged_to_one_an_object(rotated):
    draw = torch.Generator().manual_seed(0)
    centres = torch.tensor([(x, y) for x in range(20, 300, 40) for y in range(20, 200, 40)]).float()
    sides = torch.rand(len(centres), 2, generator=draw) * 10 + 8
    if rotated:
        angle = torch.rand(len(centres), 1, generator=draw)
        boxes = torch.cat((centres, sides, angle), dim=1)
    else:
        boxes = torch.cat((centres - sides / 2, centres + sides / 2), dim=1)
    labels = torch.arange(len(boxes)) % 3
    parts = []
    for tile in tile_grid(300, 200, 96, 48):
        whole = visible_fraction(tile, boxes) > 0.5
        scores = torch.rand(int(whole.sum()), generator=draw)
        parts.append((tile, Detections(boxes_in_tile(tile, boxes[whole]), labels[whole], scores)))
    merged = merge_detections(parts, 0.3)
    assert len(merged.boxes) == len(boxes)
    if rotated:
        order = torch.cdist(boxes[:, :2], merged.boxes[:, :2]).argmin(dim=1)
        torch.testing.assert_close(
            paired_iou(merged.boxes[order].double(), boxes.double()),
            torch.ones(len(boxes)).double(),
        )
        assert torch.equal(merged.labels[order], labels)
    assert (merged.scores.diff() <= 0).all()
