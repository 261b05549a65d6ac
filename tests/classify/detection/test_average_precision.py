"""Average precision against pycocotools, and cases worked out by hand."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from classify.detection.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    GroundTruth,
    average_precision,
)

CLASSES, IMAGES = 3, 12


def random_case(seed: int):
    draw = np.random.default_rng(seed)

    def boxes(count):
        corner = draw.uniform(0, 80, (count, 2))
        return np.concatenate((corner, corner + draw.uniform(8, 40, (count, 2))), axis=1)

    truths, detections = [], []
    for _ in range(IMAGES):
        annotated = boxes(draw.integers(0, 7))
        near = annotated + draw.normal(0, 3, annotated.shape)
        near = near[(near[:, 2:] > near[:, :2]).all(1)]
        detected_boxes = np.concatenate((near, boxes(draw.integers(0, 6))))
        labels = draw.integers(0, CLASSES, len(annotated))
        more = draw.integers(0, CLASSES, len(detected_boxes) - len(near))
        guesses = np.concatenate((draw.integers(0, CLASSES, len(near)), more))
        guesses[: min(len(near), len(labels))] = labels[: min(len(near), len(labels))]
        scores = draw.permutation(1000)[: len(detected_boxes)] / 1000
        tensors = [
            torch.as_tensor(each) for each in (annotated, labels, detected_boxes, guesses, scores)
        ]
        crowd = torch.as_tensor(draw.random(len(annotated)) < 0.2)
        truths.append(GroundTruth(tensors[0], tensors[1], crowd, crowd))
        detections.append(Detections(tensors[2], tensors[3], tensors[4]))
    return truths, detections


def of_pycocotools(truths, detections) -> np.ndarray:
    def rows(several, extra):
        for image, one in enumerate(several):
            for k, (x0, y0, x1, y1) in enumerate(one.boxes.tolist()):
                size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
                yield {"image_id": image + 1, "category_id": int(one.labels[k]) + 1, **size,
                       **extra(one, k)}  # fmt: skip

    annotations = rows(truths, lambda one, k: {"iscrowd": int(one.crowd[k])})
    labels = [{"id": k + 1, **row} for k, row in enumerate(annotations)]
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": k + 1} for k in range(IMAGES)],
            "categories": [{"id": k + 1, "name": str(k)} for k in range(CLASSES)],
            "annotations": labels,
            "info": {},
        }
        data.createIndex()
        guesses = data.loadRes(
            list(rows(detections, lambda one, k: {"score": float(one.scores[k])}))
        )
        evaluator = COCOeval(data, guesses, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"][:, :, :, 0, -1].mean(axis=1).T  # [C, T]


@pytest.mark.parametrize("seed", range(5))
def test_the_coco_rule_is_that_of_pycocotools(seed):
    truths, detections = random_case(seed)
    ours = average_precision(truths, detections, CLASSES, "coco")
    np.testing.assert_allclose(ours, of_pycocotools(truths, detections), atol=1e-6)
    assert 0.05 < ours.mean() < 0.95


def box(x: float) -> list[float]:
    return [x, 0.0, x + 10, 10.0]


def by_hand(*, difficult: bool = False):
    """Four objects of one class; detections, best first: true, false, true, a duplicate, true."""
    truth = GroundTruth(
        torch.tensor([box(0), box(100), box(200), box(300)]),
        torch.zeros(4, dtype=torch.int64),
        torch.tensor([False, difficult, False, False]),
        torch.zeros(4, dtype=torch.bool),
    )
    detections = Detections(
        torch.tensor([box(0), box(50), box(100), box(1), box(200)]),
        torch.zeros(5, dtype=torch.int64),
        torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]),
    )
    return [truth], [detections]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4.
        ("voc07", (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5 + 3 * 0) / 11),
        ("voc12", (1 + 2 / 3 + 3 / 5) / 4),
        ("coco", (26 * 1 + 25 * 2 / 3 + 25 * 3 / 5) / 101),
    ],
)
def test_each_rule_on_a_case_worked_out_by_hand(rule, expected):
    assert average_precision(*by_hand(), 1, rule, [0.5])[0, 0] == pytest.approx(expected)


def test_a_difficult_object_counts_neither_way():
    # Without the second object and its detection: 1, 1/2, 1/3, 2/4 at 1/3, 1/3, 1/3, 2/3.
    found = average_precision(*by_hand(difficult=True), 1, "voc12", [0.5])[0, 0]
    assert found == pytest.approx((1 + 1 / 2) / 3)


@pytest.mark.parametrize("turn", [None, 0.0, 0.7])
def test_what_is_found_in_a_crowd_counts_neither_way_by_the_coco_rule(turn):
    alone, crowd = [20.0, 20.0, 10.0, 10.0], [70.0, 70.0, 40.0, 20.0]  # centre and sides
    inside = [[68.0 + k, 70.0, 6.0, 4.0] for k in range(3)]
    boxes = torch.tensor([alone, crowd, *inside])
    if turn is None:
        boxes = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), dim=1)
    else:
        boxes = torch.cat((boxes, torch.full((5, 1), turn)), dim=1)
    many = torch.tensor([False, True])
    truth = GroundTruth(boxes[:2], torch.zeros(2, dtype=torch.int64), many, many)
    scores = torch.tensor([0.1, 0.9, 0.8, 0.7])
    detections = Detections(boxes[[0, 2, 3, 4]], torch.zeros(4, dtype=torch.int64), scores)
    assert average_precision([truth], [detections], 1, "coco", [0.5])[0, 0] == pytest.approx(1)
    assert average_precision([truth], [detections], 1, "voc12", [0.5])[0, 0] == pytest.approx(0.25)


def test_rotated_boxes_and_thresholds():
    boxes = torch.tensor([[50.0, 50.0, 40.0, 10.0, 0.4]])
    truth = [GroundTruth(boxes, torch.tensor([1]), *(torch.tensor([False]),) * 2)]
    moved = boxes + torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.1]])
    detections = [Detections(moved, torch.tensor([1]), torch.tensor([0.3]))]
    table = average_precision(truth, detections, 2, "voc07")
    assert np.isnan(table[0]).all()  # no object of that class
    overlap_is_enough = table[1] == 1
    assert overlap_is_enough[0]
    assert not overlap_is_enough[-1]
    assert (np.diff(overlap_is_enough.astype(int)) <= 0).all()
    assert len(IOU_THRESHOLDS) == table.shape[1] == 10


def test_images_without_objects_or_detections():
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    truths, detections = by_hand()
    truths.append(GroundTruth(*nothing, *(torch.zeros(0, dtype=torch.bool),) * 2))
    detections.append(Detections(torch.tensor([box(7)]), torch.tensor([0]), torch.tensor([0.95])))
    worse = average_precision(truths, detections, 1, "voc12", [0.5])[0, 0]
    assert 0 < worse < average_precision(*by_hand(), 1, "voc12", [0.5])[0, 0]
    silent = [Detections(*nothing, torch.zeros(0)) for _ in truths]
    assert average_precision(truths, silent, 1, "coco", [0.5])[0, 0] == 0
    with pytest.raises(ValueError, match="2 images with labels"):
        average_precision(truths, detections[:1], 1, "coco")
