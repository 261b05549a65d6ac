"""Distances between all rows of two feature tables, a block at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tgn.metrics.statistics import check_features

CHUNK_SIZE = 1024


def distance_blocks(
    queries: Tensor, references: Tensor, chunk_size: int = CHUNK_SIZE
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield Euclidean distances block by block, all references of one query block in turn.

    Computed as |q|² + |r|² - 2 q·r after subtracting the references' mean from both: distances are
    unchanged, and large common offsets cost no digits.

    Args:
        queries: features, [N, D].
        references: features, [M, D].
        chunk_size: rows of each table in a block; memory is its square.

    Yields:
        Query rows, reference rows and their distances [n, m], in the precision of the tables.
    """
    centre = references.mean(dim=0, dtype=torch.float64)
    q, r = ((table.double() - centre).to(queries.dtype) for table in (queries, references))
    norms_q, norms_r = (table.square().sum(dim=1) for table in (q, r))
    for start in range(0, len(q), chunk_size):
        rows = slice(start, min(start + chunk_size, len(q)))
        for offset in range(0, len(r), chunk_size):
            columns = slice(offset, min(offset + chunk_size, len(r)))
            sums = norms_q[rows, None] + norms_r[columns]
            block = torch.addmm(sums, q[rows], r[columns].T, alpha=-2, out=sums)
            yield rows, columns, block.clamp_(min=0).sqrt_()


def mask_self(block: Tensor, rows: slice, columns: slice) -> None:
    """Set the distance of each row to itself to infinity, where the block holds it."""
    first, last = max(rows.start, columns.start), min(rows.stop, columns.stop)
    same = torch.arange(first, max(first, last))
    block[same - rows.start, same - columns.start] = float("inf")


def check_feature_pair(a: Tensor, b: Tensor, names: tuple[str, str]) -> None:
    """Check that two feature tables can be compared.

    Raises:
        ValueError: for wrong shapes, non-finite values or different D.
    """
    check_features(a, f"{names[0]} features")
    check_features(b, f"{names[1]} features")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"tables differ in D: {a.shape[1]} and {b.shape[1]}")
