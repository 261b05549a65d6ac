"""Guidance of sampling by the gradients of losses: the tail net's and CLIP's."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.models.clip import ClipGuide
from tgn.models.tail_features import FrozenTailNet

STEP = 0.05  # root mean square change of the image at strength 1 and full noise

GuidanceLoss = Callable[[Tensor, Tensor], Tensor]
"""From images_pm1 [B, bands, H, W] and labels [B] to losses [B]."""


def tail_net_loss(frozen_tail_net: FrozenTailNet) -> GuidanceLoss:
    """Return the tail net's cross-entropy as a guidance loss."""
    return lambda images, labels: F.cross_entropy(
        frozen_tail_net(images).logits.float(), labels, reduction="none"
    )


def clip_loss(clip: ClipGuide) -> GuidanceLoss:
    """Return CLIP's cross-entropy over the prompts of all classes as a guidance loss."""
    return lambda images, labels: F.cross_entropy(
        clip(images) * clip.logit_scale, labels, reduction="none"
    )


def apply_guidance(
    image: Tensor, labels: Tensor, losses: list[tuple[float, GuidanceLoss]], noise: float
) -> Tensor:
    """Move the expected image against the gradient of the losses.

    Only the losses' networks are differentiated, not the denoiser, which would cost three times as
    much (Bansal et al. 2023, Universal Guidance, arXiv 2302.07121, section 3.2).

    Args:
        image: expected under the noise, [B, bands, H, W] in about [-1, 1].
        labels: classes to guide to, [B].
        losses: with their strengths >= 0.
        noise: share of noise (sigma) in [0, 1]; the step shrinks with it.

    Returns:
        [B, bands, H, W].
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = image.detach().clone()
        moved = start
        for strength, loss_of in losses:
            variable = start.clone().requires_grad_(True)
            loss = loss_of(variable.clamp(-1, 1), labels.clone()).sum()
            (gradient,) = torch.autograd.grad(loss, variable)
            size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
            moved = moved - strength * STEP * noise * gradient / size
    return moved
