"""Rectified flow: straight ways from latents to noise, and the loss of their velocity.

Sources: flow matching (Lipman et al. 2023, arXiv 2210.02747), rectified flow (Liu et al. 2023,
arXiv 2209.03003).
"""

import torch
from torch import Tensor


def noisy_latents(latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Return (1 - t) latents + t noise.

    Args:
        latents: [B, C, h, w].
        noise: standard normal, of that shape.
        times: t, [B] in [0, 1].
    """
    return latents.lerp(noise, times.view(-1, 1, 1, 1))


def velocity_loss(predicted: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error of the velocity, noise - latents, of each image, [B]."""
    return (predicted - (noise - latents)).square().mean((1, 2, 3))


def logit_normal_times(normal: Tensor) -> Tensor:
    """Map standard normal numbers to times in (0, 1), most of them in the middle.

    Source: Esser et al. 2024 (arXiv 2403.03206), section 3.1, mean 0 and deviation 1.
    """
    return torch.sigmoid(normal)


def times_from(start: float, steps: int) -> list[float]:
    """Return times from ``start`` down to 0, evenly spaced.

    Args:
        start: r in [0, 1], where the way is entered.
        steps: of the whole way from 1; r of them are taken, at least 4.

    Returns:
        Steps + 1 times; [0.0] where there is no way to go.
    """
    if start == 0:
        return [0.0]
    count = max(4, round(steps * start))
    return [start * (1 - number / count) for number in range(count + 1)]
