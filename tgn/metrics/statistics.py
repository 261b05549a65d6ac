"""Mean and covariance of a stream of features, accumulated in float64."""

import torch
from torch import Tensor


def check_features(features: Tensor, name: str = "features") -> None:
    """Check that a feature table is [N, D] and finite.

    Args:
        features: the table, [N, D], any real dtype.
        name: what the message calls it.

    Raises:
        ValueError: for another number of axes, or for NaN or infinite values.
    """
    if features.ndim != 2:
        raise ValueError(f"{name} must be [N, D], got {[*features.shape]}")
    if not torch.isfinite(features).all():
        raise ValueError(f"{name} hold NaN or infinite values; check the extractor and its weights")


class FeatureStatistics:
    """Running count, mean and covariance of feature vectors.

    Args:
        dimension: length D of one feature vector.

    Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm", eq. 2.1.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self._mean = torch.zeros(dimension, dtype=torch.float64)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64)

    @classmethod
    def of(cls, features: Tensor) -> "FeatureStatistics":
        """Return the statistics of one table of features, [N, D]."""
        check_features(features)
        statistics = cls(features.shape[1])
        statistics.update(features)
        return statistics

    @property
    def dimension(self) -> int:
        """Length D of one feature vector."""
        return self._mean.shape[0]

    @property
    def mean(self) -> Tensor:
        """Mean feature, float64 [D].

        Raises:
            ValueError: if no features were added yet.
        """
        if self.count < 1:
            raise ValueError("the mean of 0 features is undefined; call update() first")
        return self._mean.clone()

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (divided by N - 1), float64 [D, D].

        Raises:
            ValueError: if fewer than two features were added.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 features, got {self.count}")
        return self._scatter / (self.count - 1)

    def update(self, features: Tensor) -> None:
        """Add features to the statistics.

        Args:
            features: [N, D], N may be 0; any device and real dtype.

        Raises:
            ValueError: for a wrong shape or non-finite values.
        """
        check_features(features)
        if features.shape[1] != self.dimension:
            raise ValueError(f"features have D={features.shape[1]}, expected D={self.dimension}")
        if len(features) == 0:
            return
        table = features.detach().to("cpu", torch.float64)
        mean = table.mean(dim=0)
        centred = table - mean
        self._absorb(len(table), mean, centred.T @ centred)

    def merge(self, other: "FeatureStatistics") -> None:
        """Add everything that another accumulator holds.

        Args:
            other: an accumulator of the same D; it is left as it is.

        Raises:
            ValueError: if D differs.
        """
        if other.dimension != self.dimension:
            raise ValueError(f"cannot merge D={other.dimension} into D={self.dimension}")
        if other.count > 0:
            self._absorb(other.count, other._mean, other._scatter)

    def _absorb(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + count
        shift = mean - self._mean
        # The between-batches part keeps precision that sum-of-squares minus square-of-sum loses.
        self._scatter += scatter + torch.outer(shift, shift) * (self.count * count / total)
        self._mean += shift * (count / total)
        self.count = total
