"""How far a student's distributions are from its teacher's: one number a row."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def softened_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 times the KL divergence of softened distributions, a mean over bins, not a sum.

    Source: the released code of Localization Distillation (arXiv 2102.12252, eq. 5); its mean makes
    it 1/K of the textbook's.

    Args:
        student: logits [..., K].
        teacher: logits [..., K]; no gradient flows into them.
        temperature: T > 0.

    Returns:
        [...], in nats.
    """
    wanted = F.log_softmax(teacher.detach() / temperature, dim=-1)
    own = F.log_softmax(student / temperature, dim=-1)
    return temperature**2 * (wanted.exp() * (wanted - own)).mean(dim=-1)


def softened_sigmoid(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The same of C scores that are not exclusive, each against the rest: [..., C] -> [...]."""
    yes = F.logsigmoid(teacher.detach() / temperature), F.logsigmoid(student / temperature)
    no = F.logsigmoid(-teacher.detach() / temperature), F.logsigmoid(-student / temperature)
    each = [wanted.exp() * (wanted - own) for wanted, own in (yes, no)]
    return temperature**2 * (each[0] + each[1]).mean(dim=-1)


def folded_kl(student: Tensor, teacher: Tensor, temperature: float, bins: Tensor) -> Tensor:
    """`softened_kl` of angles that are the same half a turn apart.

    The bins' weight is dealt out to as many places round half a turn, evenly spaced, each bin's to
    the two beside it; so two ways to write one direction make one distribution.

    Args:
        student: logits [..., K].
        teacher: logits [..., K].
        temperature: T > 0.
        bins: angles in radians, [K].

    Returns:
        [...], in nats.
    """
    fold = _round_half_a_turn(bins)
    wanted = (F.softmax(teacher.detach() / temperature, dim=-1) @ fold).clamp(min=1e-9)
    own = (F.softmax(student / temperature, dim=-1) @ fold).clamp(min=1e-9)
    return temperature**2 * (wanted * (wanted / own).log()).mean(dim=-1)


def _round_half_a_turn(bins: Tensor) -> Tensor:
    """How much of each bin each place gets, [K, K]."""
    count = len(bins)
    place = torch.remainder(bins, math.pi) * (count / math.pi)  # in [0, K]
    below = place.floor()
    share = place - below
    rows = torch.arange(count, device=bins.device)
    fold = bins.new_zeros(count, count)
    fold[rows, below.long() % count] += 1 - share
    fold[rows, (below.long() + 1) % count] += share
    return fold
