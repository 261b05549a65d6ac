"""Greedy non-maximum suppression in blocks: memory for a block and what is kept, not for a table.

Source of the algorithm: the usual one (Neubeck and Van Gool 2006, section 3); only the order of
the comparisons differs, not what is kept.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from classify.detection.boxes.upright import overlapping_pairs

BLOCK = 1024  # boxes that are compared with all kept ones at a time


def greedy_suppression(enclosing: Tensor, suppresses: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the boxes that no kept one of higher score suppresses.

    Args:
        enclosing: upright boxes round the boxes, [N, 4], by descending score.
        suppresses: whether box k suppresses box k, for indices [P] and [P] of boxes whose enclosing
            ones touch: [P], bool.

    Returns:
        Indices of the kept boxes, ascending, int64.
    """
    kept = torch.zeros(0, dtype=torch.int64, device=enclosing.device)
    for block in torch.arange(len(enclosing), device=enclosing.device).split(BLOCK):
        alive = torch.ones(len(block), dtype=torch.bool, device=enclosing.device)
        for i, j in overlapping_pairs(enclosing[kept], enclosing[block]):
            i, j = i[alive[j]], j[alive[j]]
            alive[j[suppresses(kept[i], block[j])]] = False
        rest = block[alive]
        kept = torch.cat((kept, rest[_survivors(enclosing[rest], rest, suppresses)]))
    return kept


def _survivors(
    enclosing: Tensor, rest: Tensor, suppresses: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return which boxes of a block [n] remain, comparing them with each other: [n], bool."""
    table = torch.zeros(len(rest), len(rest), dtype=torch.bool, device=rest.device)
    for i, j in overlapping_pairs(enclosing, enclosing):
        i, j = i[i < j], j[i < j]
        table[i, j] = suppresses(rest[i], rest[j])
    alive = np.ones(len(rest), dtype=np.bool_)
    for rank, suppressed in enumerate(table.cpu().numpy()):
        if alive[rank]:
            alive &= ~suppressed
    return torch.from_numpy(alive).to(rest.device)
