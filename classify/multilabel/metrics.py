"""Metrics of multi-label classification."""

from typing import Any

import torch
from torch import Tensor


def average_precision_of_class(scores: Tensor, positive: Tensor) -> float | None:
    """Return the mean of the precision at each positive image, by falling score.

    Not interpolated, as in information retrieval; tied scores are one threshold, so their order
    does not matter. Source: Manning et al. 2008, Introduction to Information Retrieval, 8.4.

    Args:
        scores: [N].
        positive: whether the image has the label, bool [N].

    Returns:
        In [0, 1]; None if no image has the label.
    """
    if not positive.any():
        return None
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], positive[order].double().cumsum(0)
    last_of_tie = torch.cat((ranked[1:] != ranked[:-1], torch.tensor([True])))
    thresholds = last_of_tie.nonzero().flatten()
    recalled = hits[thresholds]
    precision = recalled / (thresholds + 1)
    new = recalled - torch.cat((recalled.new_zeros(1), recalled[:-1]))
    return float((precision * new).sum() / recalled[-1])


def multi_label_summary(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return mAP, and precision, recall and F1 at probability 0.5, per class and overall.

    CP, CR: precision and recall as means over the classes; OP, OR: over all decisions together;
    CF1 and OF1: their harmonic means. Source: Wang et al. 2016, CNN-RNN (arXiv
    1604.04573), section 4.

    Args:
        logits: [N, C].
        labels: 1 where the image has the label, [N, C].

    Returns:
        All in [0, 1]; labels that no image has are left out of mAP, CP and CR.
    """
    positive, predicted = labels > 0.5, logits > 0
    hits = (positive & predicted).double().sum(0)
    tested = positive.any(0)
    precisions = (hits / predicted.double().sum(0).clamp(min=1))[tested]
    recalls = (hits / positive.double().sum(0).clamp(min=1))[tested]
    overall_precision = float(hits.sum() / predicted.double().sum().clamp(min=1))
    overall_recall = float(hits.sum() / positive.double().sum().clamp(min=1))
    class_precision, class_recall = float(precisions.mean()), float(recalls.mean())
    classes = range(logits.shape[1])
    per_class = [average_precision_of_class(logits[:, k], positive[:, k]) for k in classes]
    known = [value for value in per_class if value is not None]
    return {
        "n": len(logits),
        "mAP": sum(known) / max(len(known), 1),
        "CP": class_precision,
        "CR": class_recall,
        "CF1": _harmonic(class_precision, class_recall),
        "OP": overall_precision,
        "OR": overall_recall,
        "OF1": _harmonic(overall_precision, overall_recall),
        "average_precision": per_class,
    }


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
