"""Head-to-tail transfer in feature space: further rows of rare classes for a linear head."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.models.similar_classes import HeadPairs, class_cosines
from tgn.probe.fit import GeneratedViews, RealViews
from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator


class Transfer(NamedTuple):
    """How much is transferred.

    Attributes:
        rows: of every rare image, n > 0.
        scale: s, of the differences.
        share: of the weight of a rare class that its transferred rows have, in (0, 1).
        seed: of the pairs.
    """

    rows: int
    scale: float
    share: float
    seed: int


def transferred(real: RealViews, num_head: int, how: Transfer) -> GeneratedViews:
    """Return rows f_i + s (f_a - f_b) of every image i of a rare class.

    a and b are different images of one of the three head classes whose class means are nearest to
    that of i: by the cosine of means less the mean of all classes, averaged over the networks. All
    three features are of the same network and view, as the network gives them.

    Args:
        real: the training images.
        num_head: number of head classes, the first in class order.
        how: number, size and weight.

    Raises:
        DataError: if no head class has two images, or there is no image of a rare class.
    """
    rare = (real.labels >= num_head).nonzero().flatten()
    classes = int(real.labels.max()) + 1
    means = [table.mean(1) for table in real.tables]
    cosines = torch.stack([class_cosines(mean, real.labels, classes) for mean in means]).mean(0)
    pairs = HeadPairs(cosines, real.labels, num_head)
    if not pairs or len(rare) == 0:
        raise DataError(
            f"transfer got {num_head} head classes and {len(rare)} training images of the tail; it "
            "needs a head class with two and one of the tail: leave transfer out"
        )
    own = rare.repeat_interleave(how.rows)
    rng = generator("transfer", how.seed)
    drawn = [pairs.draw(int(label), rng) for label in real.labels[own]]
    first, second = torch.tensor(drawn).T
    tables = [_moved(table, (own, first, second), how.scale) for table in real.tables]
    return GeneratedViews(tables, real.labels[own], how.share)


def _moved(table: Tensor, rows: tuple[Tensor, Tensor, Tensor], scale: float) -> Tensor:
    own, first, second = rows
    return table[own] + scale * (table[first] - table[second])


def joined(parts: Sequence[GeneratedViews]) -> GeneratedViews | None:
    """Return the rows of all parts under one share of their class's weight, or None of no part."""
    if not parts:
        return None
    tables = [torch.cat(of_one) for of_one in zip(*(p.tables for p in parts), strict=True)]
    return GeneratedViews(tables, torch.cat([p.labels for p in parts]), parts[0].share)
