"""Batch normalisation over the images of all processes, as if one process had them all."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` whose training statistics are those of the global batch.

    torch's own SyncBatchNorm does the same, but on GPUs only. Processes may hold images of
    different shapes; the buffers and their names are those of ``BatchNorm2d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        own_count = values.new_full((values.shape[1],), values.numel() // values.shape[1])
        sums = torch.stack((values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), own_count))
        total, total_square, count = all_reduce(sums)
        mean, square = total / count, total_square / count
        variance = (square - mean.square()).clamp(min=0)
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        factor = (variance + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * factor
        return (values * factor[:, None, None] + shift[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics; the variance is the unbiased one."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class SharedBatchNormAct2d(SharedBatchNorm2d):
    """timm's ``BatchNormAct2d``, which holds the activation behind it, over all processes."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.act(self.drop(super().forward(x)))


def share_batch_statistics(net: nn.Module) -> nn.Module:
    """Replace every batch normalisation of images by one that sees those of all processes."""
    if next(net.parameters(), torch.empty(0)).is_cuda:
        from timm.layers.norm_act import convert_sync_batchnorm  # torch's drops activations

        return convert_sync_batchnorm(net)
    for name, child in net.named_children():
        if isinstance(child, nn.BatchNorm2d) and not isinstance(child, SharedBatchNorm2d):
            setattr(net, name, _shared(child))
        else:
            share_batch_statistics(child)
    return net


def _shared(norm: Any) -> SharedBatchNorm2d:
    shared: Any
    if hasattr(norm, "act"):
        shared = SharedBatchNormAct2d(norm.num_features, norm.eps, norm.momentum)
        shared.drop, shared.act = norm.drop, norm.act
    else:
        shared = SharedBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    shared.load_state_dict(norm.state_dict())
    shared.weight.requires_grad_(norm.weight.requires_grad)
    shared.bias.requires_grad_(norm.bias.requires_grad)
    return shared.to(norm.weight.device).train(norm.training)
