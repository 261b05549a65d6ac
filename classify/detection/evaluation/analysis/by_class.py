"""A row of numbers for each class: how many objects and detections, and its average precision."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classify.detection.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    Floats,
    GroundTruth,
    Rule,
)

SHOWN_THRESHOLDS = {"ap50": 0.5, "ap75": 0.75}


def class_rows(
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    classes: Sequence[str],
    tables: Mapping[Rule, Floats],
) -> list[dict[str, Any]]:
    """Return the numbers of each class.

    Args:
        ground_truths: an entry an image.
        detections: an entry an image, in the same order.
        classes: C names.
        tables: rule -> average precision [C, T] at IOU_THRESHOLDS.

    Returns:
        A row a class: ``class``, ``objects`` that count, ``difficult`` ones (and crowds), which do
        not, ``detections`` (all, of whatever score), and of each rule ``<rule>_ap``,
        ``<rule>_ap50`` and ``<rule>_ap75`` in [0, 1], None without objects.
    """
    counted = _count([one.labels[~one.difficult] for one in ground_truths], len(classes))
    ignored = _count([one.labels[one.difficult] for one in ground_truths], len(classes))
    found = _count([one.labels for one in detections], len(classes))
    return [
        {
            "class": name,
            "objects": counted[label],
            "difficult": ignored[label],
            "detections": found[label],
            **_precisions({rule: table[label] for rule, table in tables.items()}),
        }
        for label, name in enumerate(classes)
    ]


def _count(labels: Sequence[Any], num_classes: int) -> list[int]:
    counts = np.zeros(num_classes, np.int64)
    for one in labels:
        counts += np.bincount(one.cpu().numpy(), minlength=num_classes)
    return counts.tolist()


def _precisions(rows: Mapping[Rule, Floats]) -> dict[str, float | None]:
    """Return the average precision of one class by each rule, from its row [T] of the table."""
    values: dict[str, float | None] = {}
    for rule, row in rows.items():
        values[f"{rule}_ap"] = _rounded(row.mean())
        for name, threshold in SHOWN_THRESHOLDS.items():
            values[f"{rule}_{name}"] = _rounded(row[IOU_THRESHOLDS.index(threshold)])
    return values


def _rounded(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
