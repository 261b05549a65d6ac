"""Nearest neighbours in feature space, in bounded memory."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.pairwise import CHUNK_SIZE, check_feature_pair, distance_blocks, mask_self


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
    queries: Tensor, references: Tensor, leave_one_out: bool = False, chunk_size: int = CHUNK_SIZE
) -> Neighbours:
    """Return the nearest reference of each query.

    Args:
        queries: features, [N, D].
        references: features, [M, D], M >= 1.
        leave_one_out: both tables are the same set, and a row is not its own neighbour; M >= 2.
        chunk_size: queries and references compared at once; memory is its square.

    Returns:
        Distances [N] and row numbers [N].

    Raises:
        ValueError: for wrong shapes, non-finite values or too few references.
    """
    check_feature_pair(queries, references, ("query", "reference"))
    if leave_one_out and queries.shape != references.shape:
        raise ValueError(
            f"leave_one_out compares a set with itself; got {[*queries.shape]} and "
            f"{[*references.shape]}"
        )
    if len(references) < 1 + leave_one_out:
        raise ValueError(f"no neighbour among {len(references)} reference rows; give more")
    queries, references = queries.to(torch.float64), references.to(torch.float64)
    distance = torch.full((len(queries),), float("inf"), dtype=torch.float64)
    index = torch.zeros(len(queries), dtype=torch.int64)
    for rows, columns, between in distance_blocks(queries, references, chunk_size):
        if leave_one_out:
            mask_self(between, rows, columns)
        near, column = between.min(dim=1)
        closer = near < distance[rows]
        distance[rows] = torch.where(closer, near, distance[rows])
        index[rows] = torch.where(closer, column + columns.start, index[rows])
    # Measured again without the matrix product's rounding, so that a copy is at exactly 0.
    return Neighbours((queries - references[index]).norm(dim=1), index)


def neighbour_radii(features: Tensor, k: int, chunk_size: int = CHUNK_SIZE) -> Tensor:
    """Return the distance of each row to its k-th nearest other row.

    Args:
        features: [N, D], N > k.
        k: at least 1.
        chunk_size: rows compared at once; memory is its square.

    Returns:
        [N], in the precision of the features.

    Raises:
        ValueError: for a wrong shape, non-finite values or too few rows.
    """
    check_feature_pair(features, features, ("own", "own"))
    if not 1 <= k < len(features):
        raise ValueError(f"k must be in [1, {len(features) - 1}] for that many rows, got {k}")
    nearest = features.new_full((len(features), k), float("inf"))
    for rows, columns, between in distance_blocks(features, features, chunk_size):
        mask_self(between, rows, columns)
        candidates = torch.cat((nearest[rows], between), dim=1)
        nearest[rows] = candidates.topk(k, dim=1, largest=False).values
    return nearest.max(dim=1).values
