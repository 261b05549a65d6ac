"""The last layer of a probe: several features of a network, normalised, and a linear map."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLED_STAGES = 2  # the last ones before the embedding


def pooled_parts(embedding: Tensor, stages: Sequence[Tensor]) -> list[Tensor]:
    """Return what a probe reads: the embedding, then mean and deviation over space of two stages.

    Overhead images are told apart by textures, too, which the last layers of a network trained on
    objects have left behind.

    Args:
        embedding: [B, E].
        stages: features after each stage but the last, [B, D_i, h_i, w_i].

    Returns:
        [B, E], then [B, D_i] twice for each of the last two stages.
    """
    parts = [embedding]
    for stage in stages[-POOLED_STAGES:]:
        deviation, mean = torch.std_mean(stage.float(), dim=(2, 3), correction=0)
        parts += [mean, deviation]
    return parts


def normalised_parts(joined: Tensor, mean: Tensor, parts: Sequence[int]) -> Tensor:
    """Centre features, scale each part to unit length and all of them to unit length together.

    Source: the CL2N transformation of Wang et al. 2019, SimpleShot (arXiv 1911.04623), a part.

    Args:
        joined: [..., sum of parts].
        mean: [sum of parts].
        parts: how many features each part has.
    """
    split = (joined - mean).split(list(parts), dim=-1)
    return torch.cat([F.normalize(part, dim=-1) for part in split], dim=-1) / len(parts) ** 0.5


class NormalisedLinear(nn.Module):
    """A linear classifier of features that are centred and scaled to unit length, part by part.

    Args:
        parts: how many features each part has.
        out_features: C.
    """

    mean: Tensor

    def __init__(self, parts: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.parts, self.in_features = tuple(parts), sum(parts)
        self.weight = nn.Parameter(torch.zeros(out_features, self.in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.register_buffer("mean", torch.zeros(self.in_features))

    def forward(self, joined: Tensor) -> Tensor:
        """[B, sum of parts] -> logits [B, C]."""
        features = normalised_parts(joined, self.mean, self.parts)
        return F.linear(features, self.weight, self.bias)
