"""Losses of the generator: tensors in, one scalar out."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12  # a root has no derivative at 0, where a generator without output starts


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """Return the length |J_w^T y| per image (Karras et al. 2020, arXiv 1912.04958, eq. 4).

    Args:
        images: [B, bands, H, W], computed from ``styles``.
        styles: w, [B, D] with ``requires_grad``.
        noise: y, standard normal, shaped as ``images``.

    Returns:
        [B] lengths; y is scaled by 1 / sqrt(H W) so that they do not grow with the image.
    """
    scale = 1.0 / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum() * scale, styles, create_graph=True)
    return (gradient.float().square().sum(1) + TINY).sqrt()


def clip_consistency(cosines: Tensor, labels: Tensor, logit_scale: float | Tensor) -> Tensor:
    """Return the cross-entropy of an image's CLIP similarities to the prompts of all classes.

    Args:
        cosines: [B, C] in [-1, 1], image against prompt; no softmax was applied.
        labels: [B] class indices; prompt i belongs to class i.
        logit_scale: CLIP's inverse temperature, > 0, applied here and nowhere else.

    Differs from the published code, which put softmax probabilities into the cross-entropy.
    """
    return F.cross_entropy(cosines * logit_scale, labels)


def source_fidelity(distances: Tensor, noise_ratio: Tensor) -> Tensor:
    """Return the distance to the source image, weighted by how much of it the noise ratio keeps.

    Args:
        distances: [B] >= 0, generated image against the image whose features it was given.
        noise_ratio: r, [B] in [0, 1].

    Returns:
        Mean of (1 - r)^2 * distance: full at r = 0, nothing at r = 1.
    """
    return ((1 - noise_ratio).square() * distances).mean()


def diversity_shortfall(distances: Tensor, noise_ratio: Tensor, real_distance: float) -> Tensor:
    """Return how far two samples of one source fall short of the distance that r asks for.

    Mode seeking (Mao et al. 2019, arXiv 1903.05628) asks that images differ in proportion to
    their latents. Two noise vectors mixed in by r lie r times as far apart as two pure ones, whose
    images in turn should differ like two real images of a class.

    Args:
        distances: [B] >= 0, between the two images of each pair.
        noise_ratio: r, [B] in [0, 1].
        real_distance: mean distance of two real images of one class, > 0.

    Returns:
        Mean of max(0, r - d / real_distance), in [0, 1]: 0 where a pair differs enough. Differs
        from Mao et al., whose 1 / ratio is unbounded and keeps pushing past what is real.
    """
    if real_distance <= 0:
        raise ValueError(f"real images must differ: real_distance is {real_distance}")
    return F.relu(noise_ratio - distances / real_distance).mean()
