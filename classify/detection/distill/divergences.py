"""Divergences of a student's distributions from its teacher's: one number a row."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 times the KL divergence of softened distributions, a mean over bins, not a sum.

    Source: the released code of Localization Distillation (arXiv 2102.12252, eq. 5); its mean makes
    it 1/K of the textbook's.

    Args:
        student: logits [..., K].
        teacher: logits [..., K]; no gradient flows into them.
        temperature: T > 0.

    Returns:
        [...], in nats.
    """
    target = F.log_softmax(teacher.detach() / temperature, dim=-1)
    own = F.log_softmax(student / temperature, dim=-1)
    return temperature**2 * (target.exp() * (target - own)).mean(dim=-1)


def softened_binary_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the same of C independent scores, each class against the rest: [..., C] -> [...]."""
    yes = F.logsigmoid(teacher.detach() / temperature), F.logsigmoid(student / temperature)
    no = F.logsigmoid(-teacher.detach() / temperature), F.logsigmoid(-student / temperature)
    each = [target.exp() * (target - own) for target, own in (yes, no)]
    return temperature**2 * (each[0] + each[1]).mean(dim=-1)


def periodic_angle_kl(student: Tensor, teacher: Tensor, temperature: float, bins: Tensor) -> Tensor:
    """Return `softened_kl` of angles with a period of half a turn.

    The probability of each bin is interpolated linearly between the two nearest of K angles that
    are evenly spaced over half a turn. Two angles of one direction so give one distribution.

    Args:
        student: logits [..., K].
        teacher: logits [..., K]; no gradient flows into them.
        temperature: T > 0.
        bins: angles in radians, [K].

    Returns:
        [...], in nats.
    """
    wrap = _wrapping_matrix(bins)
    target = (F.softmax(teacher.detach() / temperature, dim=-1) @ wrap).clamp(min=1e-9)
    own = (F.softmax(student / temperature, dim=-1) @ wrap).clamp(min=1e-9)
    return temperature**2 * (target * (target / own).log()).mean(dim=-1)


def _wrapping_matrix(bins: Tensor) -> Tensor:
    """Return the share of each bin that each angle of half a turn gets, [K, K]."""
    count = len(bins)
    position = torch.remainder(bins, math.pi) * (count / math.pi)  # in [0, K]
    below = position.floor()
    share = position - below
    rows = torch.arange(count, device=bins.device)
    matrix = bins.new_zeros(count, count)
    matrix[rows, below.long() % count] += 1 - share
    matrix[rows, (below.long() + 1) % count] += share
    return matrix
