"""What a classifier would be worth if the classes were as frequent as someone's else."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tgn.metrics.classification import recalls

IMBALANCE = 50.0  # largest over smallest class of the shifted test sets


def shifted_accuracies(confusion: Tensor) -> dict[str, float]:
    """Return the accuracy under three class priors of the test set, in [0, 1].

    Sum over classes of prior times recall: uniform; forward, exponential in the order of the
    training counts; backward, the same turned round. Source of the protocol: Hong et al. 2021,
    LADE (arXiv 2012.00321), section 4. Recalls are those measured: no prior is told to the
    classifier. Classes without test images have no part in it.

    Args:
        confusion: [C, C], rows are true classes, largest in training first.
    """
    values = recalls(confusion)
    known = ~values.isnan()
    values = values[known]
    place = torch.arange(len(values), dtype=torch.float64) / max(len(values) - 1, 1)
    forward = IMBALANCE**-place
    weights = {"uniform": torch.ones_like(forward), "forward": forward, "backward": forward.flip(0)}
    return {name: float((w * values).sum() / w.sum()) for name, w in weights.items()}


def balanced_assignment(probabilities: Tensor) -> list[int]:
    """Name classes so that each is named equally often; it uses the prior of the test set.

    Class after class, the one named most often first: of the images it holds, the most likely
    ceil(N / C) stay, the others move to their best class that is not yet settled. Source: the
    "submission balance" of Yang and Xu 2021 (CVPRW NTIRE), for any number of classes.

    Args:
        probabilities: [N, C].

    Returns:
        N class indices, none more often than ceil(N / C).
    """
    left = probabilities.double().clone()
    count, classes = left.shape
    capacity = -(-count // classes)
    named = left.argmax(1)
    open_classes: Sequence[int] = range(classes)
    while open_classes:
        held = torch.bincount(named, minlength=classes)
        k = max(open_classes, key=lambda c: int(held[c]))
        rows = (named == k).nonzero().flatten()
        order = left[rows, k].argsort(descending=True, stable=True)
        moved = rows[order[capacity:]]
        left[:, k] = -1.0  # settled: nobody moves in any more
        if len(moved):
            named[moved] = left[moved].argmax(1)
        open_classes = [c for c in open_classes if c != k]
    return named.tolist()
