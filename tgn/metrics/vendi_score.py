"""The Vendi score: the effective number of different images in a set."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.metrics.statistics import check_features


def vendi_score(features: Tensor) -> float:
    """Return exp(entropy of the eigenvalues of K / N), where K holds the cosines of all pairs.

    Args:
        features: [N, D], N >= 1; rows of zeros count as equal.

    Returns:
        From 1 (all equal) to min(N, D) (all orthogonal), in images. It grows with N: compare only
        sets of the same size.

    Raises:
        ValueError: for a wrong shape, non-finite values or no row.

    Source: Friedman and Dieng 2023, "The Vendi Score" (arXiv 2210.02410), eq. 2 and 3.
    """
    check_features(features)
    if len(features) < 1:
        raise ValueError("the Vendi score of 0 features is undefined")
    unit = F.normalize(features.to(torch.float64), dim=1)
    # X X' and X' X have the same eigenvalues besides zeros: take the smaller of the two.
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = torch.linalg.eigvalsh(gram / len(unit)).clamp(min=0)
    return float(torch.special.entr(values / values.sum()).sum().exp())
