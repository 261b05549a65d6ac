"""Accuracy under other class priors of the test set (label shift)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tgn.metrics.classification import recalls

IMBALANCE = 50.0  # largest over smallest class of the shifted test sets


def shifted_accuracies(confusion: Tensor) -> dict[str, float]:
    """Return the accuracy under three class priors of the test set, in [0, 1].

    Sum over classes of prior times recall: uniform; forward, exponential in the order of the
    training counts; backward, the reverse. Source of the protocol: Hong et al. 2021, LADE (arXiv
    2012.00321), section 4. The classifier is not adapted to the prior. Classes without test
    images are left out.

    Args:
        confusion: [C, C], rows are true classes, largest in training first.
    """
    values = recalls(confusion)
    values = values[~values.isnan()]
    place = torch.arange(len(values), dtype=torch.float64) / max(len(values) - 1, 1)
    forward = IMBALANCE**-place
    weights = {"uniform": torch.ones_like(forward), "forward": forward, "backward": forward.flip(0)}
    return {name: float((w * values).sum() / w.sum()) for name, w in weights.items()}


def balanced_assignment(probabilities: Tensor) -> list[int]:
    """Assign classes so that each is predicted equally often; uses the prior of the test set.

    Class after class, the one with most images first: its most likely ceil(N / C) images stay, the
    others move to their best class that is not yet settled. Source: the "submission balance" of
    Yang and Xu 2021 (CVPRW NTIRE), for any number of classes.

    Args:
        probabilities: [N, C].

    Returns:
        N class indices, none more often than ceil(N / C).
    """
    remaining = probabilities.double().clone()
    count, classes = remaining.shape
    capacity = -(-count // classes)
    assigned = remaining.argmax(1)
    open_classes: Sequence[int] = range(classes)
    while open_classes:
        held = torch.bincount(assigned, minlength=classes)
        k = max(open_classes, key=lambda c: int(held[c]))
        rows = (assigned == k).nonzero().flatten()
        order = remaining[rows, k].argsort(descending=True, stable=True)
        moved = rows[order[capacity:]]
        remaining[:, k] = -1.0  # settled: no image moves in any more
        if len(moved):
            assigned[moved] = remaining[moved].argmax(1)
        open_classes = [c for c in open_classes if c != k]
    return assigned.tolist()
