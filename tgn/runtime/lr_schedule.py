"""Learning-rate schedules: linear warm-up, then half a cosine down to zero."""

import math

WARMUP = 0.05  # share of the steps


def warmup_cosine(progress: float, warmup: float = WARMUP) -> float:
    """Return the factor of the highest learning rate.

    Args:
        progress: share of the steps that is done, in [0, 1).
        warmup: share of the steps over which the factor rises linearly, in (0, 1).

    Returns:
        A factor in (0, 1].

    Source: cosine annealing of Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5, one cycle.
    """
    if progress < warmup:
        return (progress + 0.01) / (warmup + 0.01)
    return half_cosine(progress - warmup, 1 - warmup)


def warmup_cosine_steps(done: int, steps: int) -> float:
    """Return the factor of the highest learning rate by whole steps.

    Args:
        done: finished steps, 0 to ``steps`` - 1.
        steps: length of the schedule; the first twentieth, at least one step, is warm-up.

    Returns:
        A factor in (0, 1].
    """
    rise = max(steps // 20, 1)
    if done < rise:
        return (done + 1) / rise
    return half_cosine(done - rise, max(steps - rise, 1))


def half_cosine(done: float, total: float) -> float:
    """Fall from 1 to 0 along half a cosine while ``done`` goes from 0 to ``total``, above 0."""
    return 0.5 * (1 + math.cos(math.pi * done / total))
