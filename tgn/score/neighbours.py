"""Nearest neighbours in feature space, in bounded memory."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.score.statistics import check_features


@dataclass(frozen=True)
class Neighbours:
    """The nearest reference row of each query row.

    Attributes:
        distance: Euclidean, float64 [N].
        index: row number in the reference, int64 [N].
    """

    distance: Tensor
    index: Tensor


def nearest_neighbours(
    queries: Tensor, references: Tensor, leave_one_out: bool = False, chunk_size: int = 1024
) -> Neighbours:
    """Find each query's nearest reference.

    Args:
        queries: features, [N, D].
        references: features, [M, D], M >= 1.
        leave_one_out: the two tables are the same set, and no row may find itself; M >= 2.
        chunk_size: queries and references compared at once; memory is its square.

    Returns:
        Distances [N] and row numbers [N].

    Raises:
        ValueError: for wrong shapes, non-finite values or no reference to find.
    """
    _check_tables(queries, references, leave_one_out)
    queries, references = queries.to(torch.float64), references.to(torch.float64)
    distance = torch.full((len(queries),), float("inf"), dtype=torch.float64)
    index = torch.zeros(len(queries), dtype=torch.int64)
    for start in range(0, len(queries), chunk_size):
        rows = slice(start, start + chunk_size)
        for offset in range(0, len(references), chunk_size):
            between = torch.cdist(queries[rows], references[offset : offset + chunk_size])
            if leave_one_out:
                _hide_self(between, start, offset)
            near, place = between.min(dim=1)
            closer = near < distance[rows]
            distance[rows] = torch.where(closer, near, distance[rows])
            index[rows] = torch.where(closer, place + offset, index[rows])
    # Measured again without the matrix product's rounding, so that a copy is at exactly 0.
    return Neighbours((queries - references[index]).norm(dim=1), index)


def _check_tables(queries: Tensor, references: Tensor, leave_one_out: bool) -> None:
    check_features(queries, "query features")
    check_features(references, "reference features")
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"tables differ in D: {queries.shape[1]} and {references.shape[1]}")
    if leave_one_out and queries.shape != references.shape:
        raise ValueError("leave_one_out compares a set with itself; the tables differ in length")
    if len(references) < 1 + leave_one_out:
        raise ValueError(f"no neighbour to find among {len(references)} reference rows")


def _hide_self(between: Tensor, start: int, offset: int) -> None:
    rows = torch.arange(between.shape[0]) + start - offset
    inside = (rows >= 0) & (rows < between.shape[1])
    between[inside.nonzero().squeeze(1), rows[inside]] = float("inf")
