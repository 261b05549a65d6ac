"""Cross-modality distillation: the networks of two sensors that image the same scenes.

Source: Yang and Xu 2021, Cross-Modality Knowledge Distillation for Multi-modal Aerial View Object
Classification (CVPRW NTIRE 2021): method 1 (one teacher), method 2 (iterated).

Differs from the released code: mixed images reach the networks, the teacher of a phase really is
the student of the phase before, and the KL divergence is summed over the classes unless
``reduction=mean`` (the released mean over classes divides it by their number).
"""

from pathlib import Path

from classify.losses.distillation import soft_target_kl
from classify.methods.base import Batch, Method, MethodOutput, add_terms
from classify.methods.phases import MethodInputs, Phase, RunFacts, plain
from classify.methods.settings import CrossModalitySettings
from tgn.runtime.errors import UserError

LR_DECAY = 0.5  # factor of the learning rate from iteration to iteration


class CrossModality(Method):
    """(1 - a) labels + a T² KL(teacher on its sensor || student on the other)."""

    def __init__(
        self, inputs: MethodInputs, weight: float, settings: CrossModalitySettings
    ) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self._teachers, self.weight, self.settings = inputs.teachers, weight, settings

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch.

        Raises:
            ValueError: if the batch has no paired images.
        """
        if batch.paired_pm1 is None:
            raise ValueError("cross-modality needs paired images, got a batch without")
        logits = self.student(batch.images_pm1).logits.float()
        teacher_logits = self._teachers["teacher"](batch.paired_pm1).logits
        kl = soft_target_kl(logits, teacher_logits, self.settings.temperature)
        if self.settings.reduction == "mean":
            kl = kl / logits.shape[1]
        labels = (1 - self.weight) * self.criterion(logits, batch)
        return add_terms(labels, logits, kl=(self.weight, kl))


def phases(settings: CrossModalitySettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return teacher and student (method 1), or the chain of both sensors (method 2).

    Method 2: ours-0 learns alone, then in each round i the other sensor's network learns from
    ours-i, and ours-(i+1) from that one, each beginning with its own weights of the round before
    and at half its learning rate. The control of the result begins with ours-0 too, and trains in
    as many phases of the same rates from labels alone.

    Raises:
        UserError: if no paired folder is named.
    """
    if settings.paired is None:
        raise UserError(
            "--method cross-modality needs the other sensor's images: "
            "--set cross_modality.paired=FOLDER; try: tgn scenes OUT --modality eo,sar"
        )

    controls = _controls(settings)

    def student_of(
        teacher: str | Path, name: str, start: str | None, on_paired: bool, lr: float
    ) -> Phase:
        weight = settings.paired_weight if on_paired else settings.weight
        return Phase(
            name,
            lambda inputs: CrossModality(inputs, weight, settings),
            {"teacher": teacher},
            start=start,
            on_paired=on_paired,
            lr=lr,
            control=controls[-1].name if controls and not name else None,
        )

    if settings.iterations == 0:
        if facts.given_teacher is not None:
            return (student_of(facts.given_teacher, "", None, False, 1.0),)
        teacher = Phase("teacher", plain, on_paired=True)
        return teacher, student_of("teacher", "", None, False, 1.0)
    chain = [Phase("ours-0", plain)]
    for i in range(settings.iterations):
        before = f"paired-{i - 1}" if i else None
        chain.append(student_of(f"ours-{i}", f"paired-{i}", before, True, LR_DECAY**i))
        name = "" if i + 1 == settings.iterations else f"ours-{i + 1}"
        chain += controls[i : i + 1]
        chain.append(student_of(f"paired-{i}", name, f"ours-{i}", False, LR_DECAY ** (i + 1)))
    return tuple(chain)


def _controls(settings: CrossModalitySettings) -> tuple[Phase, ...]:
    """Return what ours-1, ours-2, ... would be without their teachers; nothing for method 1."""
    if not settings.control:
        return ()
    return tuple(
        Phase(
            f"control-{i + 1}",
            plain,
            start=f"control-{i}" if i else "ours-0",
            lr=LR_DECAY ** (i + 1),
        )
        for i in range(settings.iterations)
    )
