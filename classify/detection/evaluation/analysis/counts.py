"""Outcomes of many images counted: the confusion of classes, kinds of errors, the worst images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from classify.detection.evaluation.analysis.outcomes import (
    CORRECT,
    IGNORED,
    KINDS,
    NOBODY,
    Outcomes,
)

MISSED = "missed"


def confusion_matrix(outcomes: Sequence[Outcomes], num_classes: int) -> list[list[int]]:
    """Count objects by their class and the class as which they were detected.

    Args:
        outcomes: of each image.
        num_classes: C.

    Returns:
        [C + 1, C + 1]: row k has the objects of class k, column k detections of class k. The last
        column has objects that no detection stands for, the last row detections that stand for no
        object. Ignored detections are not counted.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for one in outcomes:
        for kind, label, taken in zip(one.kinds, one.labels, one.takes, strict=True):
            if kind != IGNORED:
                matrix[one.objects[taken] if taken != NOBODY else num_classes, label] += 1
        alone = np.ones(len(one.objects), bool)
        alone[one.takes[one.takes != NOBODY]] = False
        np.add.at(matrix[:, num_classes], one.objects[alone], 1)
    return matrix.tolist()


def count_kinds(outcomes: Sequence[Outcomes], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count what became of the detections and objects of each class.

    Args:
        outcomes: of each image.
        classes: C names.

    Returns:
        Name -> ``correct``, each of KINDS by the detection's class, and ``missed``: objects of the
        class that are neither found nor explained by a localisation or classification error.
    """
    counted = (CORRECT, *KINDS)
    table: dict[str, dict[str, int]] = {
        name: dict.fromkeys((*counted, MISSED), 0) for name in classes
    }
    for one in outcomes:
        for kind, label in zip(one.kinds, one.labels, strict=True):
            if kind in counted:
                table[classes[label]][kind] += 1
        for label in one.objects[~(one.found | one.excused)]:
            table[classes[label]][MISSED] += 1
    return table


def worst_first(outcomes: Sequence[Outcomes]) -> list[int]:
    """Return the numbers of images by their F1, the lowest first; of equal ones, more errors."""

    def rank(index: int) -> tuple[Any, ...]:
        one = outcomes[index]
        return one.f1, -(one.num_false + one.num_missed), index

    return sorted(range(len(outcomes)), key=rank)
