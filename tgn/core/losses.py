"""Losses that more than one stage uses."""

from torch import Tensor
from torch.nn import functional as F


def feature_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two feature maps, over every element.

    Args:
        student: [B, D, h, w].
        teacher: [B, D, h, w]; no gradient flows into it.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Source: T2FTS (Zhao et al. 2022) and KMDN (TGN, 2024), MSE on stage-3 features.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student features {[*student.shape]} != teacher's {[*teacher.shape]}")
    return F.mse_loss(student, teacher.detach())
