"""Precision, recall, density and coverage, from nearest-neighbour balls around each image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.metrics.neighbours import neighbour_radii
from tgn.metrics.pairwise import CHUNK_SIZE, check_feature_pair, distance_blocks

NEIGHBOURS = 5


@dataclass(frozen=True)
class NeighbourBalls:
    """Which images lie within the nearest-neighbour balls of the other set.

    Attributes:
        balls: in how many real balls each generated image lies, float64 [N].
        recalled: real images inside a ball of some generated image, bool [M].
        covered: real images whose own ball holds a generated image, bool [M].
        neighbours: k.
    """

    balls: Tensor
    recalled: Tensor
    covered: Tensor
    neighbours: int

    @property
    def precision(self) -> float:
        """Share of generated images inside a ball of some real image, 0 to 1."""
        return float((self.balls > 0).double().mean())

    @property
    def recall(self) -> float:
        """Share of real images inside a ball of some generated image, 0 to 1."""
        return float(self.recalled.double().mean())

    @property
    def density(self) -> float:
        """Real balls a generated image lies in, over k; >= 0, about 1 for equal sets."""
        return float(self.balls.mean()) / self.neighbours

    @property
    def coverage(self) -> float:
        """Share of real images whose own ball holds a generated image, 0 to 1."""
        return float(self.covered.double().mean())


def neighbour_balls(
    generated: Tensor, real: Tensor, k: int = NEIGHBOURS, chunk_size: int = CHUNK_SIZE
) -> NeighbourBalls:
    """Compare two sets by balls around each image, with the k-th neighbour in its set on the edge.

    With g_j in B(r_i) meaning |g_j - r_i| <= R_i, the distance of r_i to its k-th nearest other:
    precision = mean_j 1[exists i: g_j in B(r_i)], recall the same with the sets exchanged,
    density = sum_ij 1[g_j in B(r_i)] / (k N), coverage = mean_i 1[exists j: g_j in B(r_i)].

    Args:
        generated: features, [N, D], N > k.
        real: features, [M, D], M > k.
        k: neighbours.
        chunk_size: rows compared at once; memory is its square.

    Returns:
        Per image, what the four metrics are means of. Copies and dropped modes raise precision and
        density; dropped modes lower recall and coverage, and so does an N much smaller than M.

    Raises:
        ValueError: for wrong shapes, non-finite values or too few rows.

    Source: Kynkäänniemi et al. 2019 (arXiv 1904.06991), eq. 1 and 2; Naeem et al. 2020 (arXiv
    2002.09797), eq. 4 and 5.
    """
    check_feature_pair(generated, real, ("generated", "real"))
    radii_x, radii_y = (neighbour_radii(table, k, chunk_size) for table in (generated, real))
    balls = torch.zeros(len(generated), dtype=torch.float64)
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool)
    for rows, columns, between in distance_blocks(generated, real, chunk_size):
        inside = between <= radii_y[columns]
        balls[rows] += inside.sum(dim=1)
        covered[columns] |= inside.any(dim=0)
        recalled[columns] |= (between <= radii_x[rows, None]).any(dim=0)
    return NeighbourBalls(balls, recalled, covered, k)
