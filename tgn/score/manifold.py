"""Precision, recall, density and coverage: the two sets as unions of nearest-neighbour balls."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.score.neighbours import neighbour_radii
from tgn.score.pairwise import CHUNK_SIZE, check_tables, distance_blocks

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """How far the two sets cover one another.

    Attributes:
        precision: share of generated images inside a ball of some real image, 0 to 1.
        recall: share of real images inside a ball of some generated image, 0 to 1.
        density: real balls a generated image lies in, over k; >= 0, about 1 for equal sets.
        coverage: share of real images whose own ball holds a generated image, 0 to 1.
        neighbours: k.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int


def manifold(
    generated: Tensor, real: Tensor, k: int = NEIGHBOURS, chunk_size: int = CHUNK_SIZE
) -> Manifold:
    """Compare two sets by the balls that reach from each image to its k-th neighbour in its set.

    With g_j in B(r_i) meaning |g_j - r_i| <= R_i, the distance of r_i to its k-th nearest other:
    precision = mean_j 1[exists i: g_j in B(r_i)], recall the same with the sets exchanged,
    density = sum_ij 1[g_j in B(r_i)] / (k N), coverage = mean_i 1[exists j: g_j in B(r_i)].

    Args:
        generated: features, [N, D], N > k.
        real: features, [M, D], M > k.
        k: neighbours.
        chunk_size: rows compared at once; memory is its square.

    Returns:
        The four figures. Copies and dropped modes raise precision and density; dropped modes lower
        recall and coverage, and so does an N that is small against M.

    Raises:
        ValueError: for wrong shapes, non-finite values or too few rows.

    Source: Kynkäänniemi et al. 2019 (arXiv 1904.06991), eq. 1 and 2; Naeem et al. 2020 (arXiv
    2002.09797), eq. 4 and 5.
    """
    check_tables(generated, real, ("generated", "real"))
    x, y = generated.to(torch.float64), real.to(torch.float64)
    reach_x, reach_y = neighbour_radii(x, k, chunk_size), neighbour_radii(y, k, chunk_size)
    balls_around_x = torch.zeros(len(x))  # how many real balls hold each generated image
    recalled, covered = torch.zeros(2, len(y), dtype=torch.bool)
    for rows, columns, between in distance_blocks(x, y, chunk_size):
        inside = between <= reach_y[columns]
        balls_around_x[rows] += inside.sum(dim=1)
        covered[columns] |= inside.any(dim=0)
        recalled[columns] |= (between <= reach_x[rows, None]).any(dim=0)
    return Manifold(
        precision=float((balls_around_x > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(balls_around_x.double().mean()) / k,
        coverage=float(covered.double().mean()),
        neighbours=k,
    )
