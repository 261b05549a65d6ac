"""The reverse process of diffusion: from noise to images, step by step, with guidance."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgn.generation.diffusion.denoiser import Conditioning, Denoiser
from tgn.generation.diffusion.guidance import GuidanceLoss, apply_guidance
from tgn.generation.diffusion.schedule import ddim, dpm
from tgn.generation.diffusion.settings import DiffusionSampleSettings

GUIDANCE_INTERVAL = (0.1, 0.6)
"""Shares of the steps between which guidance pays (Kynkäänniemi et al. 2024, arXiv 2404.07724)."""


@dataclass(frozen=True)
class ReverseProcess:
    """How images are sampled.

    Attributes:
        settings: sampler, number of steps, scale of classifier-free guidance.
        losses: that guide by their gradients, with their strengths.
    """

    settings: DiffusionSampleSettings
    losses: list[tuple[float, GuidanceLoss]] = field(default_factory=list)


def sample_images(
    denoiser: Denoiser,
    noise: Tensor,
    conditioning: Conditioning,
    labels: Tensor,
    process: ReverseProcess,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Sample images.

    Args:
        denoiser: in eval.
        noise: standard normal, [B, bands, H, W].
        conditioning: features of the sources.
        labels: classes, [B].
        process: sampler, steps, guidance.
        precision: gives the context of the network's passes.

    Returns:
        images_pm1 [B, bands, H, W].
    """
    settings = process.settings
    schedule = dpm() if settings.sampler == "dpm++" else ddim()
    schedule.set_timesteps(settings.sampling_steps)
    x = noise * schedule.init_noise_sigma
    for number, timestep in enumerate(schedule.timesteps):
        share = number / settings.sampling_steps
        is_guided = settings.guidance > 1 and GUIDANCE_INTERVAL[0] <= share < GUIDANCE_INTERVAL[1]
        timesteps = torch.full_like(labels, int(timestep))
        scale = settings.guidance if is_guided else 1.0
        with precision():
            expected = _expected_image(denoiser, x, timesteps, conditioning, labels, scale)
        if process.losses:
            sigma = float((1 - schedule.alphas_cumprod[int(timestep)]).sqrt())
            moved = apply_guidance(denoiser.decode(expected), labels, process.losses, sigma)
            expected = denoiser.encode(moved)
        x = schedule.step(expected, timestep, x).prev_sample
    return denoiser.decode(x).clamp(-1, 1)


def _expected_image(
    denoiser: Denoiser,
    x: Tensor,
    timesteps: Tensor,
    conditioning: Conditioning,
    labels: Tensor,
    guidance: float,
) -> Tensor:
    """Apply classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""
    if guidance == 1:
        return denoiser(x, timesteps, conditioning, labels)
    ignored = conditioning._replace(noise_level=torch.ones_like(conditioning.noise_level))
    both = Conditioning(*(torch.cat(pair) for pair in zip(conditioning, ignored, strict=True)))
    classes = torch.cat((labels, torch.full_like(labels, denoiser.null_class)))
    given, null = denoiser(x.repeat(2, 1, 1, 1), timesteps.repeat(2), both, classes).chunk(2)
    return null + guidance * (given - null)
