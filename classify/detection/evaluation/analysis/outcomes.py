"""What became of every detection and object above a score: right, or wrong in which way.

Source of the kinds: Bolya et al. 2020, TIDE (arXiv 2008.08115), section 2.2, in the order in which
its code tries them; Hoiem et al. 2012 has the first, second, fourth and fifth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classify.detection.average_precision import (
    Detections,
    Floats,
    GroundTruth,
    object_overlaps,
)

FOREGROUND_IOU, BACKGROUND_IOU = 0.5, 0.1  # t_f and t_b of TIDE
CORRECT, IGNORED = "correct", "ignored"
KINDS = {  # of false positives, by their largest IoU with objects that count
    "localisation": "0.1 to 0.5 with an object of its class",
    "classification": "0.5 or more with an object of another class",
    "duplicate": "0.5 or more with an object of its class that a better detection has found",
    "background": "at most 0.1 with every object",
    "both": "0.1 to 0.5 with an object of another class, and less with its own",
}
NOBODY = -1  # in place of an object's number


@dataclass(frozen=True)
class Outcomes:
    """Of one image.

    Attributes:
        kinds: of each detection above the score, best first: CORRECT, IGNORED (it found a
            difficult object or a crowd), or one of KINDS.
        labels: their classes, [M].
        takes: the object that each stands for, NOBODY for none, [M]: the one that it found, or
            one of another class that nobody found and that it overlaps by 0.5 or more.
        objects: classes of the objects that count, [N].
        found: which of these a correct detection has found, [N].
        excused: which others a localisation or classification error explains, [N].
    """

    kinds: list[str]
    labels: NDArray[np.int64]
    takes: NDArray[np.int64]
    objects: NDArray[np.int64]
    found: NDArray[np.bool_]
    excused: NDArray[np.bool_]

    @property
    def num_false(self) -> int:
        """Return the number of false positives."""
        return sum(kind in KINDS for kind in self.kinds)

    @property
    def num_missed(self) -> int:
        """Return the number of objects that no correct detection has found."""
        return int((~self.found).sum())

    @property
    def f1(self) -> float:
        """Return 2 TP / (2 TP + FP + FN) in [0, 1]; 1 where nothing is labelled or detected."""
        twice = 2 * int(self.found.sum())
        total = twice + self.num_false + self.num_missed
        return twice / total if total else 1.0


def image_outcomes(ground_truth: GroundTruth, detections: Detections, min_score: float) -> Outcomes:
    """Match the detections of an image with its objects as average precision does (COCO's rule).

    Args:
        ground_truth: of the image.
        detections: of the image.
        min_score: detections below it do not count.
    """
    rows = np.flatnonzero((detections.scores >= min_score).cpu().numpy())
    order = rows[np.argsort(-detections.scores.cpu().numpy()[rows], kind="stable")]
    overlaps = object_overlaps(detections.boxes[order], ground_truth, with_crowds=True)
    objects = _Objects(
        overlaps, ground_truth.labels.cpu().numpy(), ground_truth.difficult.cpu().numpy()
    )
    labels = detections.labels.cpu().numpy()[order]
    owners, matched = _match(objects, labels)
    kinds, takes = [], np.full(len(order), NOBODY)
    excused = np.zeros(len(matched), bool)
    for row, (label, owner) in enumerate(zip(labels, owners, strict=True)):
        if owner != NOBODY:
            is_ignored = objects.difficult[owner]
            kind, takes[row] = (IGNORED, NOBODY) if is_ignored else (CORRECT, owner)
        else:
            kind, blamed = _kind_of_error(objects, row, label)
            excused[blamed] = True
        kinds.append(kind)
    _take_others(objects, kinds, takes, matched)
    counts = ~objects.difficult
    numbers = np.append(np.cumsum(counts) - 1, NOBODY)  # takes[...] == NOBODY is the last
    return Outcomes(
        kinds,
        labels,
        numbers[takes],
        objects.labels[counts],
        matched[counts],
        (excused & ~matched)[counts],
    )


class _Objects(NamedTuple):
    """All objects of an image, and their overlaps with its detections."""

    overlaps: Floats  # [M, N]
    labels: NDArray[np.int64]  # [N]
    difficult: NDArray[np.bool_]  # [N]

    def among(self, row: int, which: NDArray[np.bool_]) -> tuple[int, float]:
        """Return the object that detection ``row`` overlaps most, of some, and the IoU."""
        values = np.where(which, self.overlaps[row], -1.0)
        if not len(values) or values.max() < 0:
            return NOBODY, 0.0
        best = len(values) - 1 - int(values[::-1].argmax())  # of equal ones the last, as COCO has
        return best, float(values[best])


def _match(
    objects: _Objects, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the object of its class that each detection finds, [M], and which are found, [N]."""
    owners = np.full(len(labels), NOBODY)
    matched = np.zeros(len(objects.labels), bool)
    for row, label in enumerate(labels):
        own = objects.labels == label
        for which in (own & ~objects.difficult & ~matched, own & objects.difficult):
            best, iou = objects.among(row, which)
            if best != NOBODY and iou >= FOREGROUND_IOU:
                owners[row] = best
                matched[best] = not objects.difficult[best]
                break
    return owners, matched


def _kind_of_error(objects: _Objects, row: int, label: int) -> tuple[str, list[int]]:
    """Return the kind of a false positive, and the object that it explains, if any."""
    counts = ~objects.difficult
    own, own_iou = objects.among(row, counts & (objects.labels == label))
    other, other_iou = objects.among(row, counts & (objects.labels != label))
    if own != NOBODY and BACKGROUND_IOU <= own_iou < FOREGROUND_IOU:
        return "localisation", [own]
    if other_iou >= FOREGROUND_IOU:
        return "classification", [other]
    if own_iou >= FOREGROUND_IOU:
        return "duplicate", []
    if max(own_iou, other_iou) <= BACKGROUND_IOU:
        return "background", []
    return "both", []


def _take_others(
    objects: _Objects,
    kinds: Sequence[str],
    takes: NDArray[np.int64],
    matched: NDArray[np.bool_],
) -> None:
    """Let false positives stand for objects of other classes that nobody has found, best first."""
    free = ~matched & ~objects.difficult
    for row, kind in enumerate(kinds):
        if kind in KINDS:
            best, iou = objects.among(row, free)
            if best != NOBODY and iou >= FOREGROUND_IOU:
                takes[row], free[best] = best, False
