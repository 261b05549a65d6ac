"""Losses for long-tailed labels."""

from torch import Tensor
from torch.nn import functional as F


def balanced_softmax(logits: Tensor, labels: Tensor, log_prior: Tensor) -> Tensor:
    """Cross-entropy of logits shifted by the log frequency of each class in training.

    Args:
        logits: [B, C].
        labels: [B] class indices.
        log_prior: [C], natural logarithm of how often each class is drawn.

    Returns:
        A scalar in nats; equal to plain cross-entropy where all classes are drawn alike.

    Raises:
        ValueError: if the prior is not [C].

    Source: Ren et al. 2020, Balanced Meta-Softmax (arXiv 2007.10740), eq. 3.
    """
    if log_prior.shape != logits.shape[1:]:
        raise ValueError(f"log_prior {[*log_prior.shape]} != classes {[*logits.shape[1:]]}")
    return F.cross_entropy(logits + log_prior, labels)
