"""Losses of distillation: differences of a student's logits and features to a teacher's."""

from torch import Tensor, nn
from torch.nn import functional as F

from tgn.models.feature_losses import feature_distance
from tgn.models.settings import FeatureDistance


def soft_target_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the KL divergence from the teacher's softened classes to the student's, times T².

    The factor T² keeps the gradient's size when T changes (Hinton et al. 2015, arXiv 1503.02531,
    section 2).

    Args:
        student: logits, [B, C].
        teacher: logits, [B, C]; no gradient flows into them.
        temperature: T > 0; larger is softer.

    Returns:
        Sum over classes, mean over the batch ("batchmean"), in nats.

    Raises:
        ValueError: if the shapes differ or the temperature is not positive.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student logits {[*student.shape]} != teacher's {[*teacher.shape]}")
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    p_teacher = F.softmax(teacher.detach().float() / temperature, dim=1)
    log_p_student = F.log_softmax(student.float() / temperature, dim=1)
    return F.kl_div(log_p_student, p_teacher, reduction="batchmean") * temperature**2


def unit_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared distance of embeddings of unit length, 2 - 2 cos of their angle.

    Source: Grill et al. 2020, BYOL (arXiv 2006.07733), eq. 2.

    Args:
        student: [B, E].
        teacher: [B, E]; no gradient flows into it.

    Returns:
        [B], in [0, 4].
    """
    cosine = F.cosine_similarity(student.float(), teacher.detach().float(), dim=1)
    return 2 - 2 * cosine


class FeatureMatch(nn.Module):
    """Compares stage-3 features of networks of any two widths and strides.

    Args:
        student_channels: D of the student.
        teacher_channels: D of the teacher; if it differs, a trained 1x1 convolution adapts the
            student's features.
        kind: of the distance, see :func:`tgn.models.feature_losses.feature_distance`.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, kind: FeatureDistance = "normalised"
    ) -> None:
        super().__init__()
        self.kind = kind
        same = student_channels == teacher_channels
        self.translate: nn.Module = (
            nn.Identity() if same else nn.Conv2d(student_channels, teacher_channels, 1, bias=False)
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """[B, D_s, h, w] and [B, D_t, h', w'] -> distance of each image, [B]."""
        translated, height, width = self.translate(student).float(), *teacher.shape[2:]
        if translated.shape[2:] != teacher.shape[2:]:
            translated = F.adaptive_avg_pool2d(translated, (height, width))
        return feature_distance(translated, teacher, self.kind)
