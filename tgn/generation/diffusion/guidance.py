"""Steering drawings while they form: towards what the tail net and CLIP take for the class."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.models.clip import ClipGuide
from tgn.models.tail_features import Critic

STEP = 0.05  # root mean square change of the image at strength 1 and full noise

Judge = Callable[[Tensor, Tensor], Tensor]
"""From images_pm1 [B, bands, H, W] and labels [B] to losses [B]."""


def tail_judge(critic: Critic) -> Judge:
    """The tail net's cross-entropy."""
    return lambda images, labels: F.cross_entropy(
        critic(images).logits.float(), labels, reduction="none"
    )


def clip_judge(clip: ClipGuide) -> Judge:
    """CLIP's cross-entropy over the prompts of all classes."""
    return lambda images, labels: F.cross_entropy(
        clip(images) * clip.logit_scale, labels, reduction="none"
    )


def steered(
    image: Tensor, labels: Tensor, judges: list[tuple[float, Judge]], noise: float
) -> Tensor:
    """Move the expected image against the gradient of the judges' losses.

    Only judges are differentiated, not the denoiser: that would cost three times as much
    (Bansal et al. 2023, Universal Guidance, arXiv 2302.07121, section 3.2).

    Args:
        image: that is expected under the noise, [B, bands, H, W] in about [-1, 1].
        labels: wanted classes, [B].
        judges: with their strengths >= 0.
        noise: share of noise (sigma) in [0, 1]; the step shrinks with it.

    Returns:
        [B, bands, H, W].
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = image.detach().clone()
        moved = start
        for strength, judge in judges:
            looked = start.clone().requires_grad_(True)
            loss = judge(looked.clamp(-1, 1), labels.clone()).sum()
            (gradient,) = torch.autograd.grad(loss, looked)
            size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
            moved = moved - strength * STEP * noise * gradient / size
    return moved
