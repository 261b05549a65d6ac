"""How well classes are found in images that show several."""

from typing import Any

import torch
from torch import Tensor


def average_precision(scores: Tensor, shown: Tensor) -> float | None:
    """Mean of the precision at each image that shows the class, by falling score.

    The non-interpolated rule of information retrieval; ties count as one cut, so that their
    order does not matter. Source: Manning et al. 2008, Introduction to Information Retrieval, 8.4.

    Args:
        scores: [N].
        shown: 1 where the image shows the class, [N].

    Returns:
        In [0, 1]; None if no image shows it.
    """
    if not shown.any():
        return None
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], shown[order].double().cumsum(0)
    last_of_tie = torch.cat((ranked[1:] != ranked[:-1], torch.tensor([True])))
    cuts = last_of_tie.nonzero().flatten()
    found = hits[cuts]
    precision = found / (cuts + 1)
    new = found - torch.cat((found.new_zeros(1), found[:-1]))
    return float((precision * new).sum() / found[-1])


def multi_label_summary(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return mAP, and precision, recall and F1 at probability 0.5, per class and overall.

    CP, CR: means over the classes; OP, OR: over all decisions together; CF1 and OF1 are the
    harmonic means of those. Source: Wang et al. 2016, CNN-RNN (arXiv 1604.04573), section 4.

    Args:
        logits: [N, C].
        labels: 1 where shown, [N, C].

    Returns:
        All in [0, 1]; classes that no image shows have no part in mAP, CP and CR.
    """
    shown, said = labels > 0.5, logits > 0
    right = (shown & said).double().sum(0)
    there = shown.any(0)
    precisions = (right / said.double().sum(0).clamp(min=1))[there]
    recalls = (right / shown.double().sum(0).clamp(min=1))[there]
    overall_precision = float(right.sum() / said.double().sum().clamp(min=1))
    overall_recall = float(right.sum() / shown.double().sum().clamp(min=1))
    class_precision, class_recall = float(precisions.mean()), float(recalls.mean())
    per_class = [average_precision(logits[:, k], shown[:, k]) for k in range(logits.shape[1])]
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
