"""Hinton's distillation: the student's softened classes follow the teacher's."""

from pydantic import Field

from classify.losses.distillation import soft_target_kl
from classify.methods.base import Batch, Method, MethodOutput, added
from classify.methods.phases import Facts, Parts, Phase, given_teacher
from tgn.runtime.config import Settings


class LogitKdSettings(Settings):
    """Settings of ``--method logit-kd``."""

    weight: float = Field(0.5, ge=0, le=1, description="of the teacher; labels have the rest")
    temperature: float = Field(4.0, gt=0, description="T of the softened classes")


class LogitKd(Method):
    """(1 - a) labels + a T² KL(teacher || student), Hinton et al. 2015 (arXiv 1503.02531)."""

    def __init__(self, parts: Parts, settings: LogitKdSettings) -> None:
        super().__init__(parts.student, parts.criterion)
        self.settings = settings
        self._teachers = parts.teachers

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        logits = self.student(batch.images_pm1).logits.float()
        taught = self._teachers["teacher"](batch.images_pm1).logits
        weight = self.settings.weight
        labels = (1 - weight) * self.criterion(logits, batch)
        kl = soft_target_kl(logits, taught, self.settings.temperature)
        return added(labels, logits, kl=(weight, kl))


def phases(settings: LogitKdSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the one phase."""
    teachers = {"teacher": given_teacher(facts, "logit-kd")}
    return (Phase("", lambda parts: LogitKd(parts, settings), teachers),)
