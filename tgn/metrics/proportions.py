"""Subsampling of a set to the class proportions of another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tgn.runtime.seeds import generator


def subsample_to_proportions(
    labels: Tensor, proportions: Sequence[int], seed: int, largest: float = float("inf")
) -> Tensor:
    """Choose random rows so that the classes have the given proportions.

    Distances of pooled sets would otherwise also measure their different class proportions.

    Args:
        labels: class indices of the rows, int64 [N].
        proportions: relative weight of each class, C whole numbers; 0 leaves a class out.
        seed: of the choice.
        largest: most rows taken, as a multiple of ``proportions``; 1 takes no more than these.

    Returns:
        Row numbers in ascending order; the relatively scarcest class is kept whole.
    """
    counts = torch.bincount(labels, minlength=len(proportions)).tolist()
    present = [k for k, weight in enumerate(proportions) if weight > 0 and counts[k] > 0]
    if not present:
        return torch.empty(0, dtype=torch.int64)
    factor = min(largest, *(counts[k] / proportions[k] for k in present))
    chosen = []
    for k in present:
        rows = (labels == k).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "thin", k))
        chosen.append(rows[order[: max(1, round(factor * proportions[k]))]])
    return torch.cat(chosen).sort().values
