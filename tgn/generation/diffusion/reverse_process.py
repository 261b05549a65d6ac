"""The reverse process: from noise, or a source with noise, to images, with guidance."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tgn.generation.diffusion.denoiser import Conditioning, Denoiser
from tgn.generation.diffusion.flow import noisy_latents, times_from
from tgn.generation.diffusion.guidance import GuidanceLoss, apply_guidance
from tgn.generation.diffusion.settings import DiffusionSampleSettings


@dataclass(frozen=True)
class ReverseProcess:
    """How images are sampled.

    Attributes:
        settings: ratio r, number of steps, scale of classifier-free guidance.
        losses: that guide by their gradients, with their strengths.
    """

    settings: DiffusionSampleSettings
    losses: list[tuple[float, GuidanceLoss]] = field(default_factory=list)


class Source(NamedTuple):
    """Real images that samples are made from."""

    images: Tensor  # images_pm1, [B, bands, S, S]
    features: Tensor  # of the tail net, [B, D, h, w]


class Noise(NamedTuple):
    """Standard normal numbers of samples."""

    latents: Tensor  # [B, C, h, w]
    features: Tensor  # [B, D]
    weights: Tensor  # of the class's variations, [B, VARIATIONS]


def sample_from(
    denoiser: Denoiser,
    source: Source,
    noise: Noise,
    labels: Tensor,
    process: ReverseProcess,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Sample images from sources.

    Args:
        denoiser: in eval.
        source: real images of the classes.
        noise: of each sample.
        labels: classes, [B].
        process: r, steps, guidance.
        precision: gives the context of the network's passes.

    Returns:
        images_pm1 [B, bands, S, S].
    """
    ratio, level = process.settings.noise, process.settings.conditioning_noise
    features = denoiser.interpolate_features(source.features, labels, noise.weights, ratio)
    levels = torch.full((len(labels),), level, device=labels.device)
    conditioning = Conditioning(features, noise.features, levels)
    x = entry(denoiser, source.images, noise.latents, ratio, precision)
    return sample_images(denoiser, x, conditioning, labels, process, precision)


def entry(
    denoiser: Denoiser,
    sources: Tensor,
    noise: Tensor,
    ratio: float,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Return where the way from noise to images is entered: latents of sources with noise.

    Source: SDEdit (Meng et al. 2022, arXiv 2108.01073). At r = 0 it is the source, at r = 1
    nothing of it is left.

    Args:
        denoiser: in eval.
        sources: images_pm1, [B, bands, S, S].
        noise: standard normal, [B, C, h, w] like latents.
        ratio: r in [0, 1].
        precision: gives the context of the network's passes.

    Returns:
        [B, C, h, w].
    """
    with precision():
        latents = denoiser.autoencoder.encode(sources)
    return noisy_latents(latents, noise, latents.new_full((len(latents),), ratio))


def sample_images(
    denoiser: Denoiser,
    x: Tensor,
    conditioning: Conditioning,
    labels: Tensor,
    process: ReverseProcess,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Sample images.

    Args:
        denoiser: in eval.
        x: of :func:`entry`, [B, C, h, w].
        conditioning: features of the sources.
        labels: classes, [B].
        process: r, steps, guidance.
        precision: gives the context of the network's passes.

    Returns:
        images_pm1 [B, bands, S, S].
    """
    settings = process.settings
    times = times_from(settings.noise, settings.sampling_steps)
    for time, following in zip(times[:-1], times[1:], strict=True):
        with precision():
            velocity = guided_velocity(denoiser, x, time, conditioning, labels, settings.guidance)
        if process.losses:
            velocity = (
                velocity - _change(denoiser, x - time * velocity, labels, process, time) / time
            )
        x = x + (following - time) * velocity
    with precision():
        return denoiser.autoencoder.decode(x).clamp(-1, 1)


def guided_velocity(
    denoiser: Denoiser,
    x: Tensor,
    time: float,
    conditioning: Conditioning,
    labels: Tensor,
    guidance: float,
) -> Tensor:
    """Apply classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""
    times = torch.full((len(x),), time, device=x.device)
    if guidance == 1:
        return denoiser(x, times, conditioning, labels)
    ignored = conditioning._replace(noise_level=torch.ones_like(conditioning.noise_level))
    both = Conditioning(*(torch.cat(pair) for pair in zip(conditioning, ignored, strict=True)))
    classes = torch.cat((labels, torch.full_like(labels, denoiser.null_class)))
    given, null = denoiser(x.repeat(2, 1, 1, 1), times.repeat(2), both, classes).chunk(2)
    return null + guidance * (given - null)


def _change(
    denoiser: Denoiser, latents: Tensor, labels: Tensor, process: ReverseProcess, time: float
) -> Tensor:
    """Return by how much the losses want the expected latents changed."""
    autoencoder = denoiser.autoencoder
    image = autoencoder.decode(latents)
    moved = apply_guidance(image, labels, process.losses, time)
    return autoencoder.encode(moved) - autoencoder.encode(image)
