"""Precision and score over recall, and the score at which a class is detected best."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from classify.detection.average_precision import (
    Detections,
    GroundTruth,
    Matches,
    Rule,
    class_matches,
    precision_and_recall,
)

RECALLS = np.linspace(0, 1, 101)  # those of the COCO rule


def class_curves(
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    classes: Sequence[str],
    rule: Rule,
    threshold: float = 0.5,
) -> dict[str, dict[str, Any]]:
    """Return the precision-recall curve of each class that has objects.

    Args:
        ground_truths: an entry an image.
        detections: an entry an image, in the same order.
        classes: C names.
        rule: of matching.
        threshold: lowest IoU of a match.

    Returns:
        Name -> ``precision`` [101], the largest at each recall of RECALLS or beyond it, 0 where
        none is reached (its mean is the COCO rule's average precision); ``score`` [101], the
        highest lowest score that reaches the recall, None likewise; ``best_f1`` in [0, 1], the
        largest harmonic mean of precision and recall, and ``best_f1_score``, where to cut for it.
    """
    curves = {}
    for label, name in enumerate(classes):
        matches = class_matches(ground_truths, detections, label, rule, (threshold,))[0]
        if matches.num_objects:
            curves[name] = _curve(matches)
    return curves


def _curve(matches: Matches) -> dict[str, Any]:
    precision, recall = precision_and_recall(matches)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    index = np.searchsorted(recall, RECALLS, side="left")
    scores = [*matches.scores.tolist(), None]
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).eps)
    best = int(f1.argmax()) if len(f1) else None
    return {
        "precision": [round(value, 6) for value in envelope[index].tolist()],
        "score": [scores[k] if scores[k] is None else round(scores[k], 6) for k in index],
        "best_f1": 0.0 if best is None else round(float(f1[best]), 6),
        "best_f1_score": None if best is None else round(scores[best], 6),
    }
