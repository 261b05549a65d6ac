"""Losses for long-tailed labels, one value an image, and class weights."""

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Return the focal loss: cross-entropy, less where the true class is already likely.

    (1 - p_y)^gamma * -log p_y. Source: Lin et al. 2017 (arXiv 1708.02002), eq. 4, over a softmax.

    Args:
        logits: [B, C].
        labels: [B] class indices.
        gamma: >= 0; 0 is cross-entropy.

    Returns:
        [B], in nats.
    """
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    return (1 - torch.exp(-cross_entropy)).clamp(min=0) ** gamma * cross_entropy


def ldam_margins(counts: Tensor, largest: float) -> Tensor:
    """Return the margin of each class, proportional to n^(-1/4); the rarest has ``largest``.

    Source: Cao et al. 2019 (arXiv 1906.07413), eq. 12.

    Args:
        counts: training images, [C]; classes without any are left out.
        largest: > 0, in units of the cosine.

    Returns:
        [C]; 0 for a class without images.
    """
    margins = counts.clamp(min=1).double() ** -0.25 * (counts > 0)
    return (margins * (largest / margins.max())).float()


def ldam(logits: Tensor, labels: Tensor, margins: Tensor, scale: float) -> Tensor:
    """Return the cross-entropy after the true class's cosine was lowered by its margin.

    Source: Cao et al. 2019 (arXiv 1906.07413), eq. 13.

    Args:
        logits: scale times cosine, [B, C].
        labels: [B] class indices.
        margins: [C], in units of the cosine.
        scale: of the logits.

    Returns:
        [B], in nats.
    """
    shift = F.one_hot(labels, logits.shape[1]) * (scale * margins[labels])[:, None]
    return F.cross_entropy(logits - shift, labels, reduction="none")


def logit_adjusted(
    logits: Tensor, labels: Tensor, prior: Tensor, tau: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Return the cross-entropy of logits shifted by tau times the log prior of each class.

    With tau = 1 this is balanced softmax. Sources: Menon et al. 2021 (arXiv 2007.07314), eq. 10;
    Ren et al. 2020, Balanced Meta-Softmax (arXiv 2007.10740), eq. 3.

    Args:
        logits: [B, C].
        labels: [B] class indices, or [B, C] probabilities.
        prior: [C], probability of each class, sum 1; of which images, is said by
            :mod:`classify.training.class_frequencies`.
        tau: >= 0; 0 is cross-entropy.
        label_smoothing: share of a label that is spread evenly over all classes, in [0, 1)
            (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    Returns:
        [B], in nats; equal to cross-entropy for a uniform prior.

    Raises:
        ValueError: if the prior is not [C].
    """
    if prior.shape != logits.shape[1:]:
        raise ValueError(f"prior {[*prior.shape]} != classes {[*logits.shape[1:]]}")
    shift = tau * prior.to(logits.dtype).clamp(min=torch.finfo(logits.dtype).tiny).log()
    return F.cross_entropy(
        logits + shift, labels, reduction="none", label_smoothing=label_smoothing
    )


def effective_weights(counts: Tensor, beta: float) -> Tensor:
    """Return class weights (1 - beta) / (1 - beta^n), scaled to a mean of 1 over the classes.

    Source: Cui et al. 2019, class-balanced loss (arXiv 1901.05555), eq. 3 and section 4.1.

    Args:
        counts: training images, [C]; classes without any are left out of the mean. Or [K, C]: of
            several kinds of images, the first of which fixes the scale of all.
        beta: in [0, 1); 0 gives 1 to all; towards 1 the weights tend to 1 / n.

    Returns:
        As ``counts``; 0 for a class without images.
    """
    n = counts.clamp(min=1).double()
    # expm1 and log1p keep the digits that 1 - beta^n loses for beta near 1.
    effective = -torch.expm1(n * torch.log1p(torch.tensor(-(1 - beta), dtype=torch.float64)))
    weights = (1 / effective if beta > 0 else torch.ones_like(n)) * (counts > 0)
    first = weights.view(-1, counts.shape[-1])[0]
    return (weights * ((first > 0).sum() / first.sum())).float()
