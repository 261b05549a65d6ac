"""CMMD: the squared kernel distance of CLIP embeddings under a Gaussian kernel."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.metrics.pairwise import CHUNK_SIZE, check_feature_pair, distance_blocks

BANDWIDTH = 10.0
SCALE = 1000.0


def clip_mmd(generated: Tensor, real: Tensor, chunk_size: int = CHUNK_SIZE) -> float:
    """Return 1000 times the squared maximum mean discrepancy of unit embeddings.

    The kernel is exp(-|x - y|² / (2 sigma²)) with sigma = 10.

    Args:
        generated: CLIP image embeddings, [N, D], N >= 2; scaled to unit length here.
        real: embeddings of the real images, [M, D], M >= 2.
        chunk_size: rows compared at once; memory is its square.

    Returns:
        From 0 (equal sets) to 2000 x (1 - exp(-2 / 100)), about 40; no unit. The pairs of a row
        with itself are counted, as in the source: the bias is about 1 / N for small sets.

    Raises:
        ValueError: for wrong shapes, non-finite values or fewer than two rows.

    Source: Jayasumana et al. 2024, "Rethinking FID" (arXiv 2401.09603), section 4 and its code.
    """
    check_feature_pair(generated, real, ("generated", "real"))
    if min(len(generated), len(real)) < 2:
        raise ValueError(f"CMMD needs 2 rows in each set, got {len(generated)} and {len(real)}")
    x, y = (F.normalize(table.to(torch.float64), dim=1) for table in (generated, real))
    within = _mean_kernel(x, x, chunk_size) + _mean_kernel(y, y, chunk_size)
    return SCALE * (within - 2 * _mean_kernel(x, y, chunk_size))


def _mean_kernel(a: Tensor, b: Tensor, chunk_size: int) -> float:
    blocks = distance_blocks(a, b, chunk_size)
    total = sum(float((-d.square() / (2 * BANDWIDTH**2)).exp().sum()) for _, _, d in blocks)
    return total / (len(a) * len(b))
