"""From noise to images: a sampler of diffusers, guided towards the class."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tgn.generation.diffusion.denoiser import Denoiser, Source
from tgn.generation.diffusion.guidance import Judge, steered
from tgn.generation.diffusion.schedule import ddim, dpm
from tgn.generation.diffusion.settings import SampleSettings

GUIDED = (0.1, 0.6)
"""Between which shares of the steps guidance pays (Kynkäänniemi et al. 2024, arXiv 2404.07724)."""


@dataclass(frozen=True)
class Recipe:
    """How images are drawn."""

    settings: SampleSettings
    judges: list[tuple[float, Judge]] = field(default_factory=list)  # with their strengths


def draw_images(
    denoiser: Denoiser,
    noise: Tensor,
    source: Source,
    labels: Tensor,
    recipe: Recipe,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Draw images.

    Args:
        denoiser: in eval.
        noise: standard normal, [B, bands, H, W].
        source: what they are drawn from.
        labels: their classes, [B].
        recipe: sampler, steps, guidance.
        precision: gives the context of the network's passes.

    Returns:
        images_pm1 [B, bands, H, W].
    """
    settings = recipe.settings
    schedule = dpm() if settings.sampler == "dpm++" else ddim()
    schedule.set_timesteps(settings.sampling_steps)
    x = noise * schedule.init_noise_sigma
    for number, time in enumerate(schedule.timesteps):
        share = number / settings.sampling_steps
        is_guided = settings.guidance > 1 and GUIDED[0] <= share < GUIDED[1]
        times = torch.full_like(labels, int(time))
        with precision():
            expected = _expected(
                denoiser, x, times, source, labels, settings.guidance if is_guided else 1.0
            )
        if recipe.judges:
            sigma = float((1 - schedule.alphas_cumprod[int(time)]).sqrt())
            moved = steered(denoiser.decode(expected), labels, recipe.judges, sigma)
            expected = denoiser.encode(moved)
        x = schedule.step(expected, time, x).prev_sample
    return denoiser.decode(x).clamp(-1, 1)


def _expected(
    denoiser: Denoiser, x: Tensor, times: Tensor, source: Source, labels: Tensor, guidance: float
) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""
    if guidance == 1:
        return denoiser(x, times, source, labels)
    nothing = Source(source.features, source.noise, torch.ones_like(source.doubt))
    both = Source(*(torch.cat(pair) for pair in zip(source, nothing, strict=True)))
    classes = torch.cat((labels, torch.full_like(labels, denoiser.no_class)))
    told, untold = denoiser(x.repeat(2, 1, 1, 1), times.repeat(2), both, classes).chunk(2)
    return untold + guidance * (told - untold)
