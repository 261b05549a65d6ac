"""Knowledge distillation of logits: the student matches the teacher's softened classes.

Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network (arXiv 1503.02531).
"""

from classify.losses.distillation import soft_target_kl
from classify.methods.base import Batch, Method, MethodOutput, add_terms
from classify.methods.phases import MethodInputs, Phase, RunFacts, given_teacher
from classify.methods.settings import LogitKdSettings


class LogitKd(Method):
    """(1 - a) labels + a T² KL(teacher || student), a the weight, T the temperature."""

    def __init__(self, inputs: MethodInputs, settings: LogitKdSettings) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.settings = settings
        self._teachers = inputs.teachers

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        logits = self.student(batch.images_pm1).logits.float()
        teacher_logits = self._teachers["teacher"](batch.images_pm1).logits
        weight = self.settings.weight
        labels = (1 - weight) * self.criterion(logits, batch)
        kl = soft_target_kl(logits, teacher_logits, self.settings.temperature)
        return add_terms(labels, logits, kl=(weight, kl))


def phases(settings: LogitKdSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the one phase of ``logit-kd``.

    Raises:
        UserError: without ``--teacher``.
    """
    teachers = {"teacher": given_teacher(facts, "logit-kd")}
    return (Phase("", lambda inputs: LogitKd(inputs, settings), teachers),)
