"""Losses of feature mimicking by random hyperplanes (locality-sensitive hashing).

Source: Wang et al. 2021, Distilling Knowledge by Mimicking Features (TPAMI, arXiv 2011.01424).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classify.losses.settings import HyperplaneBias
from tgn.runtime.devices import Device

PLANES_AT_ONCE = 256  # whose bias is measured together, to bound the memory


class Hyperplanes(nn.Module):
    """N fixed random hyperplanes in the space of embeddings.

    Args:
        size: D.
        count: N.
        std: of the normal weights, > 0.
        rng: CPU generator.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, size: int, count: int, std: float, rng: torch.Generator) -> None:
        super().__init__()
        weight = std * torch.randn(count, size, generator=rng)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", torch.zeros(count), persistent=False)

    def set_bias(self, kind: HyperplaneBias, embeddings: Tensor) -> None:
        """Move the planes so that they cut at 0, or at the mean or median of embeddings [n, D]."""
        if kind == "zero":
            self.bias.zero_()
            return
        for rows in torch.arange(len(self.weight)).split(PLANES_AT_ONCE):
            values = embeddings.float() @ self.weight[rows].T.to(embeddings.device)  # [n, rows]
            cut = values.mean(0) if kind == "mean" else values.median(0).values
            self.bias[rows] = -cut.to(self.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, D] -> hash values [B, N], float32; the sign is the side of the plane."""
        with torch.autocast(embedding.device.type, enabled=False):
            return F.linear(embedding.float(), self.weight, self.bias)


def l2_per_image(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of embeddings [B, D] of each image, [B]."""
    return (student.float() - teacher.detach().float()).square().mean(1)


def lsh_per_image(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the binary cross-entropy of the sides of the planes, mean over planes, [B] in nats.

    Args:
        student: hash values, [B, N], taken as logits.
        teacher: hash values, [B, N]; their signs are the targets.
    """
    target = (teacher.detach() > 0).to(student.dtype)
    return F.binary_cross_entropy_with_logits(student, target, reduction="none").mean(1)


def with_length_of(student: Tensor, teacher: Tensor) -> Tensor:
    """Return embeddings [B, D] scaled to the length of the teacher's, in float32.

    Where only signs are compared, nothing bounds the student's length, and with it the confidence:
    it would grow for ever. The teacher's length is the natural bound.
    """
    return F.normalize(student.float()) * teacher.float().norm(dim=1, keepdim=True)


def linear_warmup(weight: float, progress: float, warmup: float) -> float:
    """Return a weight that rises linearly from 0 over a share of the steps.

    Args:
        weight: after the warm-up.
        progress: share of the steps that is done, in [0, 1).
        warmup: share of the steps over which it rises, in [0, 1).
    """
    return weight * min(progress / warmup, 1.0) if warmup > 0 else weight


def masked_mean(values: Tensor, mask: Tensor, device: Device) -> Tensor:
    """Return the mean of values [B] where mask [B] is 1, over the images of all processes.

    0 if the mask is 0 everywhere.
    """
    share = device.total(mask.sum()).clamp(min=1) / device.processes  # a process's part of them
    return (values * mask).sum() / share
