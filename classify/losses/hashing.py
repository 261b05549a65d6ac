"""Feature mimicking by random hyperplanes (locality-sensitive hashing)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.runtime.devices import Device

HASHES_AT_ONCE = 256  # planes whose bias is measured together, to bound the memory


Mimic = Literal["l2", "lsh", "lshl2"]


Bias = Literal["zero", "mean", "median"]


class Hashes(nn.Module):
    """N hyperplanes in the space of embeddings, fixed.

    Args:
        size: D.
        hashes: N.
        std: of the normal weights, > 0.
        draw: CPU generator.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, size: int, hashes: int, std: float, draw: torch.Generator) -> None:
        super().__init__()
        weight = std * torch.randn(hashes, size, generator=draw)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", torch.zeros(hashes), persistent=False)

    def set_bias(self, kind: Bias, embeddings: Tensor) -> None:
        """Move the planes so that they cut at 0, or at the mean or median of embeddings [n, D]."""
        if kind == "zero":
            self.bias.zero_()
            return
        for rows in torch.arange(len(self.weight)).split(HASHES_AT_ONCE):
            values = embeddings.float() @ self.weight[rows].T.to(embeddings.device)  # [n, rows]
            cut = values.mean(0) if kind == "mean" else values.median(0).values
            self.bias[rows] = -cut.to(self.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, D] -> [B, N], float32; the sign is the side of the plane."""
        with torch.autocast(embedding.device.type, enabled=False):
            return F.linear(embedding.float(), self.weight, self.bias)


def l2_each(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of embeddings [B, D] of each image, [B]."""
    return (student.float() - teacher.detach().float()).square().mean(1)


def lsh_each(student: Tensor, teacher: Tensor) -> Tensor:
    """Binary cross-entropy between the sides of the planes, mean over the planes, [B] in nats.

    Args:
        student: hash values, [B, N], taken as logits.
        teacher: hash values, [B, N]; their signs are the targets.
    """
    target = (teacher.detach() > 0).to(student.dtype)
    return F.binary_cross_entropy_with_logits(student, target, reduction="none").mean(1)


def masked_mean(values: Tensor, mask: Tensor, device: Device) -> Tensor:
    """Mean of values [B] where mask [B] is 1, over all processes' images; 0 where it is nowhere."""
    share = device.total(mask.sum()).clamp(min=1) / device.processes  # a process's part of them
    return (values * mask).sum() / share
