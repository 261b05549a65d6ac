"""Files of detections: what pycocotools, DOTA's server and a spreadsheet read."""

import contextlib
import csv
import io
import json

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from classify.detection.average_precision import Detections, average_precision
from classify.detection.data.dataset import make_dataset
from classify.detection.evaluation.evaluate import ground_truths
from classify.detection.evaluation.results.write import ResultTargets, Source, result_files
from tgn.data.annotations.coco import read_coco_ids
from tgn.data.annotations.readers import read_annotations
from tgn.runtime.errors import UserError

BOX = torch.tensor([[20.0, 30.0, 10.0, 4.0, 0.0]])
CLASSES = ("bar", "disc")


def written(targets: ResultTargets, source: Source, detections) -> None:
    with result_files(targets, source) as files:
        for path, one in zip(source.images, detections, strict=True):
            files.add(path, one)


def source(tmp_path, is_rotated: bool, count: int = 2) -> Source:
    paths = [tmp_path / f"{k:02d}.png" for k in range(count)]
    for path in paths:
        Image.new("RGB", (64, 48)).save(path)
    return Source(tmp_path, paths, CLASSES, is_rotated)


def test_a_submission_has_the_format_of_dotas_server(tmp_path):
    out = tmp_path / "out"
    nothing = Detections(BOX[:0], BOX[:0, 0].long(), BOX[:0, 0])
    found = [Detections(BOX, torch.tensor([1]), torch.tensor([0.5])), nothing]
    two = source(tmp_path, True)
    written(ResultTargets(submission=out), two, found)
    assert sorted(file.name for file in out.iterdir()) == ["Task1_bar.txt", "Task1_disc.txt"]
    assert (out / "Task1_bar.txt").read_text() == ""
    line = "00 0.5000 15.0 28.0 25.0 28.0 25.0 32.0 15.0 32.0\n"
    assert (out / "Task1_disc.txt").read_text() == line
    upright = [Detections(BOX[:, :4], torch.tensor([0]), torch.tensor([0.25]))] * 2
    written(ResultTargets(submission=out), two._replace(is_rotated=False), upright)
    lines = (out / "Task2_bar.txt").read_text().splitlines()
    assert lines[1] == "01 0.2500 20.0 30.0 10.0 4.0"
    twice = two._replace(images=two.images[:1] * 2)
    with pytest.raises(UserError, match="several images are called 00"):
        written(ResultTargets(submission=out), twice, found)


def test_rotated_boxes_as_csv_and_coco(tmp_path):
    targets = ResultTargets(csv=tmp_path / "a.csv", coco=tmp_path / "a.json")
    found = Detections(BOX, torch.tensor([1]), torch.tensor([0.5]))
    written(targets, source(tmp_path, True, 1), [found])
    (row,) = csv.DictReader(targets.csv.read_text().splitlines())
    assert (row["image"], row["class"], row["score"]) == ("00.png", "disc", "0.50000")
    corners = [float(row[f"{axis}{k}"]) for k in (1, 2, 3, 4) for axis in "xy"]
    assert corners == [15, 28, 25, 28, 25, 32, 15, 32]
    (record,) = json.loads(targets.coco.read_text())
    assert record == {
        "image_id": 1,
        "category_id": 2,
        "bbox": [15, 28, 10, 4],
        "score": 0.5,
        "segmentation": [corners],
    }
    images = json.loads((tmp_path / "a.images.json").read_text())
    assert images["images"] == [{"id": 1, "file_name": "00.png", "width": 64, "height": 48}]
    assert images["categories"] == [{"id": 1, "name": "bar"}, {"id": 2, "name": "disc"}]


def test_without_detections_the_files_are_whole(tmp_path):
    targets = ResultTargets(csv=tmp_path / "a.csv", coco=tmp_path / "a.json")
    written(targets, source(tmp_path, False, 0), [])
    assert json.loads(targets.coco.read_text()) == []
    assert json.loads((tmp_path / "a.images.json").read_text())["images"] == []
    assert targets.csv.read_text() == "image,class,score,left,top,right,bottom\n"


def test_an_error_leaves_no_file(tmp_path):
    targets = ResultTargets(tmp_path / "a.csv", tmp_path / "a.json", tmp_path / "out")
    (tmp_path / "a.csv").write_text("before")
    one = source(tmp_path, False, 1)
    with pytest.raises(KeyboardInterrupt), result_files(targets, one):
        raise KeyboardInterrupt
    assert targets.csv.read_text() == "before"
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["00.png", "a.csv"]


def labels_and_detections(folder):
    """Four images of five objects, some of them crowds, with ids from 40 down and 7 and 9."""
    draw = torch.Generator().manual_seed(1)
    images, rows, detections = [], [], []
    for k in range(4):
        Image.new("RGB", (64, 64)).save(folder / f"{k}.png")
        images.append({"id": 40 - k, "file_name": f"{k}.png"})
        corners = torch.rand(5, 2, generator=draw) * 40
        boxes = torch.cat((corners, corners + 8 + torch.rand(5, 2, generator=draw) * 12), dim=1)
        labels = torch.randint(2, (5,), generator=draw)
        for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
            size = [box[2] - box[0], box[3] - box[1]]
            ids = {"id": len(rows) + 1, "image_id": 40 - k, "category_id": 7 + 2 * label}
            crowd = {"area": size[0] * size[1], "iscrowd": int(len(rows) % 7 == 3)}
            rows.append({**ids, **crowd, "bbox": [*box[:2], *size]})
        moved = boxes + torch.randn(5, 4, generator=draw)
        detections.append(Detections(moved, labels, torch.rand(5, generator=draw)))
    categories = [{"id": 7, "name": "bar"}, {"id": 9, "name": "disc"}]
    content = {"images": images, "annotations": rows, "categories": categories, "info": {}}
    return content, detections


def test_pycocotools_reads_the_results_and_finds_our_ap(tmp_path):
    labels_file, folder = tmp_path / "labels.json", tmp_path / "images"
    folder.mkdir()
    content, detections = labels_and_detections(folder)
    labels_file.write_text(json.dumps(content))
    data = make_dataset(read_annotations(labels_file, folder), False, CLASSES)
    paths = [image.path for image in data.images]
    ids = read_coco_ids(labels_file, folder)
    out = tmp_path / "results.json"
    written(ResultTargets(coco=out), Source(folder, paths, CLASSES, False, ids), detections)
    assert not (tmp_path / "results.images.json").exists()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(labels_file))
        evaluator = COCOeval(truth, truth.loadRes(str(out)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    table = average_precision(ground_truths(data), detections, 2, "coco")
    assert table.mean() == pytest.approx(evaluator.stats[0], abs=1e-6)
    assert 0.1 < table.mean() < 0.9
    fewer = Source(folder, paths, ("bar", "other"), False, ids)
    written(ResultTargets(coco=out), fewer, detections)
    assert {row["category_id"] for row in json.loads(out.read_text())} == {7}
