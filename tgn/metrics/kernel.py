"""The kernel distance between two feature sets (KID when the features are Inception's)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.statistics import check_features
from tgn.runtime.seeds import generator


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased squared maximum mean discrepancy (MMD) and its standard error.

    Attributes:
        value: the estimate; it may be slightly negative where the sets are alike.
        standard_error: of ``value``; None where a set has fewer than four features.
        num_subsets: how many random subsets were compared.
        subset_sizes: features per subset of (generated, real).
    """

    value: float
    standard_error: float | None
    num_subsets: int
    subset_sizes: tuple[int, int]

    def __float__(self) -> float:
        return self.value


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared MMD under the kernel ``(x·y / D + 1)³``.

    Args:
        x: features, [N, D], N >= 2.
        y: features, [M, D], M >= 2.

    Returns:
        The estimate, no unit; its expectation is 0 for equal distributions.

    Raises:
        ValueError: for wrong shapes, non-finite values or fewer than two rows.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", eq. 4 and section 4.
    """
    _check_pair(x, y)
    return _mmd(x, y)


def kernel_distance(
    generated: Tensor,
    real: Tensor,
    seed: int,
    max_subset_size: int = 1000,
    num_subsets: int = 100,
) -> KernelDistance:
    """Return KID with a standard error, for sets of any size from two up.

    Sets that both fit into ``max_subset_size`` are compared whole, larger ones by the mean over
    random subsets, which has the same expectation. The standard error comes from random subsets
    of at most *half* of each set (a delete-d jackknife): subsets as large as the set would all be
    equal, and the error 0.
    Differs from the paper: it reports the deviation over subsets of fixed size 1000.

    Args:
        generated: features, [N, D], N >= 2.
        real: features, [M, D], M >= 2.
        seed: of the subsets.
        max_subset_size: most features of either set in a subset.
        num_subsets: how many subsets.

    Returns:
        The estimate and its standard error; the latter errs upwards where the subsets are
        different fractions of the two sets.

    Raises:
        ValueError: for wrong shapes, non-finite values or fewer than two rows.

    Source: Bińkowski et al. 2018; Shao and Wu 1989 for the jackknife's factor d / (n - d).
    """
    _check_pair(generated, real)
    x, y = generated.cpu(), real.cpu()
    sizes = (min(max_subset_size, len(x) // 2), min(max_subset_size, len(y) // 2))
    if min(sizes) < 2:
        return KernelDistance(_mmd(x, y), None, 0, (len(x), len(y)))
    rng = generator(seed, "kernel subsets")
    values = torch.tensor(
        [_mmd(_subset(x, sizes[0], rng), _subset(y, sizes[1], rng)) for _ in range(num_subsets)]
    )
    whole = max(len(x), len(y)) <= max_subset_size
    shrink = max(size / (len(table) - size) for size, table in zip(sizes, (x, y), strict=True))
    return KernelDistance(
        value=_mmd(x, y) if whole else float(values.mean()),
        standard_error=float(values.std()) * shrink**0.5,
        num_subsets=num_subsets,
        subset_sizes=sizes,
    )


def _check_pair(x: Tensor, y: Tensor) -> None:
    check_features(x, "generated features")
    check_features(y, "real features")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"feature sets differ in D: {x.shape[1]} and {y.shape[1]}")
    if min(len(x), len(y)) < 2:
        raise ValueError(f"the unbiased MMD needs 2 rows in each set, got {len(x)} and {len(y)}")


def _subset(table: Tensor, size: int, rng: torch.Generator) -> Tensor:
    return table[torch.randperm(len(table), generator=rng)[:size]]


def _mmd(x: Tensor, y: Tensor) -> float:
    return float(_within(x) + _within(y) - 2 * _kernel_sum(x, y) / (len(x) * len(y)))


def _within(x: Tensor) -> Tensor:
    # A point's kernel with itself is left out: it is what biases the plain mean.
    own = (x.square().sum(dim=1, dtype=torch.float64) / x.shape[1] + 1) ** 3 - 1
    return (_kernel_sum(x, x) - own.sum()) / (len(x) * (len(x) - 1))


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum over all pairs of (x·y / D + 1)³ - 1, accumulated in float64.

    Terms are in the features' precision. The 1 cancels in every difference of means; adding it
    would only cost digits.
    """
    t = (x @ y.T).div_(x.shape[1])
    cubed = torch.add(t, 3).mul_(t).add_(3).mul_(t)  # t³ + 3t² + 3t
    return cubed.sum(dtype=torch.float64)
