"""All of the analysis of detections in one record, as files hold it."""

from collections.abc import Sequence
from typing import Any

from classify.detection.average_precision import Detections, GroundTruth, Rule
from classify.detection.evaluation.analysis.counts import confusion_matrix, count_kinds
from classify.detection.evaluation.analysis.curves import class_curves
from classify.detection.evaluation.analysis.outcomes import FOREGROUND_IOU, Outcomes

BACKGROUND = "background"


def analyse(
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    classes: Sequence[str],
    outcomes: Sequence[Outcomes],
    min_score: float,
) -> dict[str, Any]:
    """Return curves, confusion and kinds of errors.

    Args:
        ground_truths: an entry an image.
        detections: an entry an image, in the same order.
        classes: C names.
        outcomes: of the detections with ``min_score`` or more, an entry an image.
        min_score: of confusion and errors.

    Returns:
        ``rule`` of the curves' matching (COCO's; of rotated boxes VOC's, as DOTA has it), ``iou``,
        ``min_score``, ``curves`` as :func:`class_curves` has them, ``confusion`` with ``labels``
        (the classes and background) and ``matrix`` (rows: labelled, columns: detected), and
        ``errors`` as :func:`count_kinds` has them.
    """
    is_rotated = any(one.boxes.shape[1] == 5 for one in detections)
    rule: Rule = "voc12" if is_rotated else "coco"
    return {
        "rule": rule,
        "iou": FOREGROUND_IOU,
        "min_score": min_score,
        "curves": class_curves(ground_truths, detections, classes, rule, FOREGROUND_IOU),
        "confusion": {
            "labels": [*classes, BACKGROUND],
            "matrix": confusion_matrix(outcomes, len(classes)),
        },
        "errors": count_kinds(outcomes, classes),
    }
