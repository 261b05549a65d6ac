"""Thinning of a set to the class proportions of another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tgn.runtime.seeds import generator


def thin_to_proportions(labels: Tensor, wanted: Sequence[int], seed: int) -> Tensor:
    """Choose rows so that the classes stand in the wanted proportions.

    Pooled sets must not differ in their mixture of classes, or their distance would measure that.

    Args:
        labels: class indices of the rows, int64 [N].
        wanted: relative weight of each class, C whole numbers; 0 leaves a class out.
        seed: of the choice.

    Returns:
        Row numbers in ascending order; the relatively scarcest class is kept whole.
    """
    counts = torch.bincount(labels, minlength=len(wanted)).tolist()
    present = [k for k, weight in enumerate(wanted) if weight > 0 and counts[k] > 0]
    if not present:
        return torch.empty(0, dtype=torch.int64)
    factor = min(counts[k] / wanted[k] for k in present)
    chosen = []
    for k in present:
        rows = (labels == k).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "thin", k))
        chosen.append(rows[order[: max(1, round(factor * wanted[k]))]])
    return torch.cat(chosen).sort().values
