"""Long-tailed class counts: profiles, head and tail, many/medium/few."""

import math
from collections.abc import Sequence
from typing import Literal

from tgn.runtime.errors import UserError

ProfileName = Literal["none", "exponential", "step", "pareto"]


def profile_counts(profile: ProfileName, largest: int, imbalance: float, classes: int) -> list[int]:
    """Return the wanted training count of each class, largest first.

    Args:
        profile: ``exponential``: n_k = n_0 * rho^(-k/(C-1)); ``step``: the first half n_0, the
            second n_0 / rho (Cui et al. 2019, arXiv 1901.05555; Buda et al. 2018);
            ``pareto``: n_k = n_0 * (k+1)^(-a) with a such that the last class has n_0 / rho.
        largest: n_0, images of the largest class.
        imbalance: rho >= 1, largest count over smallest.
        classes: C.

    Raises:
        UserError: for an imbalance under 1 or a profile that leaves a class without images.
    """
    if imbalance < 1:
        raise UserError(f"imbalance must be >= 1 (largest / smallest count), got {imbalance}")
    steps = max(classes - 1, 1)
    exponent = math.log(imbalance) / math.log(classes) if classes > 1 else 0.0
    share = {
        "none": lambda k: 1.0,
        "exponential": lambda k: imbalance ** (-k / steps),
        "step": lambda k: 1.0 if k < (classes + 1) // 2 else 1.0 / imbalance,
        "pareto": lambda k: (k + 1) ** -exponent,
    }[profile]
    counts = [round(largest * share(k)) for k in range(classes)]
    if min(counts) < 1:
        raise UserError(
            f"profile {profile} with largest={largest} and imbalance={imbalance} leaves a class "
            "without images; lower the imbalance or raise largest"
        )
    return counts


def number_of_head_classes(classes: int, head_fraction: float) -> int:
    """Return how many of the largest classes are head: int(C * fraction), at least one."""
    if not 0 < head_fraction < 1:
        raise UserError(f"head_fraction must lie between 0 and 1, got {head_fraction}")
    return min(max(int(classes * head_fraction), 1), classes - 1)


def shot_groups(counts: Sequence[int], many: int = 100, few: int = 20) -> list[str]:
    """Name each class many (> 100 images), medium or few (< 20), after Liu et al. 2019 (OLTR)."""
    return ["many" if n > many else "few" if n < few else "medium" for n in counts]
