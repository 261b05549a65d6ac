"""Counts of a class, curves, confusion and kinds of errors, on cases worked out by hand."""

import math

import numpy as np
import pytest
import torch

from classify.detection.average_precision import Detections, GroundTruth, average_precision
from classify.detection.boxes.rotated import to_corners
from classify.detection.evaluation.analysis.analyse import analyse
from classify.detection.evaluation.analysis.by_class import class_rows
from classify.detection.evaluation.analysis.counts import confusion_matrix, count_kinds, worst_first
from classify.detection.evaluation.analysis.curves import class_curves
from classify.detection.evaluation.analysis.outcomes import CORRECT, IGNORED, KINDS, image_outcomes

CLASSES = ("plane", "ship")


def wide(x: float, shift: float = 0.0) -> list[float]:
    """Return a box of 10 x 10; shifted by s, its IoU with the same at x is (10 - s) / (10 + s)."""
    return [x + shift, 0.0, x + shift + 10, 10.0]


def truth(rows, difficult=(), crowd=()):
    """rows: (box, label) each."""
    flags = [
        torch.tensor([k in some for k in range(len(rows))]).bool() for some in (difficult, crowd)
    ]
    boxes = torch.tensor([box for box, _ in rows]).view(-1, len(rows[0][0]) if rows else 4)
    return GroundTruth(boxes, torch.tensor([label for _, label in rows]).long(), *flags)


def found(rows):
    """rows: (box, label, score) each."""
    boxes = torch.tensor([row[0] for row in rows]).view(-1, len(rows[0][0]) if rows else 4)
    labels = torch.tensor([row[1] for row in rows]).long()
    return Detections(boxes, labels, torch.tensor([row[2] for row in rows]))


# Planes at 0, 100 and 200, a ship at 300, a ship at 400 and a difficult plane at 500.
SCENE = truth(
    [
        (wide(0), 0),
        (wide(100), 0),
        (wide(200), 0),
        (wide(300), 1),
        (wide(400), 1),
        (wide(500), 0),
    ],
    difficult=[5],
)
FOUND = found(
    [
        (wide(0), 0, 0.95),  # correct
        (wide(0, 1), 0, 0.90),  # IoU 9/11 with the plane that is found: duplicate
        (wide(100, 5), 0, 0.85),  # IoU 1/3: localisation
        (wide(200), 1, 0.80),  # a ship for a plane: classification
        (wide(300, 5), 0, 0.75),  # 1/3 with the other class: both
        (wide(600), 1, 0.70),  # background
        (wide(500), 0, 0.65),  # the difficult one: ignored
        (wide(300), 1, 0.60),  # correct
        (wide(400), 1, 0.10),  # below the score: the ship is missed
    ]
)


def test_each_kind_of_error():
    outcomes = image_outcomes(SCENE, FOUND, 0.5)
    assert outcomes.kinds == [
        CORRECT,
        "duplicate",
        "localisation",
        "classification",
        "both",
        "background",
        IGNORED,
        CORRECT,
    ]
    assert outcomes.found.tolist() == [True, False, False, True, False]
    assert outcomes.excused.tolist() == [False, True, True, False, False]
    assert (outcomes.num_false, outcomes.num_missed) == (5, 3)
    assert outcomes.f1 == pytest.approx(4 / (4 + 5 + 3))
    none = dict.fromkeys(KINDS, 0)
    assert count_kinds([outcomes], CLASSES) == {
        "plane": {**none, "correct": 1, "duplicate": 1, "localisation": 1, "both": 1, "missed": 0},
        "ship": {**none, "correct": 1, "classification": 1, "background": 1, "missed": 1},
    }


def test_the_confusion_has_every_object_once_and_every_false_detection():
    outcomes = image_outcomes(SCENE, FOUND, 0.5)
    assert confusion_matrix([outcomes, outcomes], 2) == [
        [2, 2, 2],  # planes: found, taken for a ship, missed (but for a bad box)
        [0, 2, 2],
        [6, 2, 0],  # duplicate, bad box, both; background
    ]


def test_a_better_score_of_the_wrong_class_takes_no_object_from_the_right_one():
    one = truth([(wide(0), 0)])
    both = found([(wide(0), 1, 0.9), (wide(0, 1), 0, 0.6)])
    outcomes = image_outcomes(one, both, 0.5)
    assert outcomes.kinds == ["classification", CORRECT]
    assert confusion_matrix([outcomes], 2) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_what_lies_in_a_crowd_is_ignored():
    many = truth([([0.0, 0.0, 100.0, 100.0], 0)], difficult=[0], crowd=[0])
    inside = found([(wide(10), 0, 0.9), (wide(20), 0, 0.8), (wide(20), 1, 0.7)])
    assert image_outcomes(many, inside, 0.5).kinds == [IGNORED, IGNORED, "background"]


def test_rotated_boxes_are_judged_against_the_outline():
    boxes = torch.tensor([[50.0, 50.0, 40.0, 10.0, 0.5]])
    flags = torch.tensor([False])
    outline = to_corners(boxes).double()
    lying = outline.clone()
    lying[..., 0] += 20 * math.cos(0.5)  # half a length away along the box: IoU 1/3
    lying[..., 1] += 20 * math.sin(0.5)
    seen = Detections(boxes, torch.tensor([0]), torch.tensor([0.9]))
    for polygons, kind in ((None, CORRECT), (outline, CORRECT), (lying, "localisation")):
        one = GroundTruth(boxes, torch.tensor([0]), flags, flags, polygons)
        assert image_outcomes(one, seen, 0.5).kinds == [kind]
    assert analyse([one], [seen], ["x"], [image_outcomes(one, seen, 0.5)], 0.5)["rule"] == "voc12"


def test_images_without_objects_or_detections():
    nothing, silent = truth([]), found([])
    outcomes = [
        image_outcomes(nothing, silent, 0.5),
        image_outcomes(SCENE, silent, 0.5),
        image_outcomes(nothing, FOUND, 0.5),
        image_outcomes(SCENE, FOUND, 0.5),
    ]
    assert [one.f1 for one in outcomes[:3]] == [1.0, 0.0, 0.0]
    assert worst_first(outcomes) == [2, 1, 3, 0]  # 8 errors, 5, some right, nothing wrong
    assert confusion_matrix(outcomes[1:2], 2) == [[0, 0, 3], [0, 0, 2], [0, 0, 0]]


def test_a_curve_is_what_average_precision_averages():
    # Precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4.
    truths = [truth([(wide(x), 0) for x in (0, 100, 200, 300)])]
    scores = (0.9, 0.8, 0.7, 0.6, 0.5)
    places = (0, 50, 100, 1, 200)
    detections = [found([(wide(x), 0, s) for x, s in zip(places, scores, strict=True)])]
    curves = class_curves(truths, detections, CLASSES, "coco")
    assert list(curves) == ["plane"]  # no ship is labelled
    curve = curves["plane"]
    assert [curve["precision"][k] for k in (25, 26, 50, 75, 76)] == pytest.approx(
        [1, 2 / 3, 2 / 3, 3 / 5, 0], abs=1e-6
    )
    assert [curve["score"][k] for k in (0, 25, 50, 75)] == pytest.approx([0.9, 0.9, 0.7, 0.5])
    assert curve["score"][76] is None
    table = average_precision(truths, detections, 1, "coco", [0.5])
    assert np.mean(curve["precision"]) == pytest.approx(table[0, 0], abs=1e-6)
    assert curve["best_f1"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))  # of all five
    assert curve["best_f1_score"] == pytest.approx(0.5)
    silent = class_curves(truths, [found([])], CLASSES, "coco")["plane"]
    assert (silent["best_f1"], silent["best_f1_score"], max(silent["precision"])) == (0.0, None, 0)


def test_counts_of_each_class():
    tables = {"coco": average_precision([SCENE], [FOUND], 2, "coco")}
    plane, ship = class_rows([SCENE], [FOUND], CLASSES, tables)
    assert [plane[key] for key in ("class", "objects", "difficult", "detections")] == [
        "plane", 3, 1, 5,
    ]  # fmt: skip
    assert [ship[key] for key in ("objects", "difficult", "detections")] == [2, 0, 4]
    assert plane["coco_ap50"] == pytest.approx(34 / 101, abs=1e-6)  # recall 1/3 at precision 1
    assert ship["coco_ap50"] == pytest.approx(tables["coco"][1, 0], abs=1e-6)
    empty = class_rows([truth([])], [found([])], ["x"], {"coco": np.full((1, 10), np.nan)})
    assert empty[0]["coco_ap"] is None
