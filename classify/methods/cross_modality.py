"""Two sensors see the same scenes, and their networks teach one another.

Source: Yang and Xu 2021, Cross-Modality Knowledge Distillation for Multi-modal Aerial View Object
Classification (CVPRW NTIRE 2021): method 1 (one teacher), method 2 (iterated).

Differs from the released code: mixed images reach the networks, the teacher of a phase really is
the student of the phase before, and the KL divergence is summed over the classes unless told
otherwise (the released mean over classes divides it by their number).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from classify.losses.distillation import soft_target_kl
from classify.methods.base import Batch, Method, MethodOutput, added
from classify.methods.phases import Facts, Parts, Phase, plain
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError

HALVED = 0.5  # learning rate from iteration to iteration


class CrossModalitySettings(Settings):
    """Settings of ``--method cross-modality``."""

    paired: str | None = Field(None, description="image folder of the other sensor, same names")
    bands: int = Field(1, ge=1, le=64, description="of the other sensor")
    size: int | None = Field(None, ge=16, description="side its images are read at; none: as ours")
    iterations: int = Field(0, ge=0, description="0: method 1; more: rounds of method 2")
    weight: float = Field(0.2, ge=0, le=1, description="of the teacher of our sensor's net")
    paired_weight: float = Field(0.8, ge=0, le=1, description="of the teacher of the other's net")
    temperature: float = Field(2.0, gt=0, description="T of the softened classes")
    reduction: Literal["batchmean", "mean"] = Field(
        "batchmean", description="KL summed over classes, or as released its mean over them"
    )


class CrossModality(Method):
    """(1 - a) labels + a T² KL(teacher on its sensor || student on the other)."""

    def __init__(self, parts: Parts, weight: float, settings: CrossModalitySettings) -> None:
        super().__init__(parts.student, parts.criterion)
        self._teachers, self.weight, self.settings = parts.teachers, weight, settings

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        if batch.paired_pm1 is None:
            raise ValueError("cross-modality needs paired images")
        logits = self.student(batch.images_pm1).logits.float()
        taught = self._teachers["teacher"](batch.paired_pm1).logits
        kl = soft_target_kl(logits, taught, self.settings.temperature)
        if self.settings.reduction == "mean":
            kl = kl / logits.shape[1]
        labels = (1 - self.weight) * self.criterion(logits, batch)
        return added(labels, logits, kl=(self.weight, kl))


def phases(settings: CrossModalitySettings, facts: Facts) -> tuple[Phase, ...]:
    """Return teacher and student (method 1), or the chain of both sensors (method 2).

    Method 2: ours-0 learns alone, then in each round i the other sensor's net learns from ours-i
    and ours-(i+1) from that one, each beginning with its own weights of the round before and at
    half its learning rate.

    Raises:
        UserError: if no paired folder is named.
    """
    if settings.paired is None:
        raise UserError(
            "--method cross-modality needs the other sensor's images: "
            "--set cross_modality.paired=FOLDER; try: tgn scenes OUT --modality eo,sar"
        )

    def taught(
        name: str, teacher: str | Path, start: str | None, on_paired: bool, lr: float
    ) -> Phase:
        weight = settings.paired_weight if on_paired else settings.weight
        return Phase(
            name,
            lambda parts: CrossModality(parts, weight, settings),
            {"teacher": teacher},
            start=start,
            on_paired=on_paired,
            lr=lr,
        )

    if settings.iterations == 0:
        if facts.given_teacher is not None:
            return (taught("", facts.given_teacher, None, False, 1.0),)
        return Phase("teacher", plain, on_paired=True), taught("", "teacher", None, False, 1.0)
    chain = [Phase("ours-0", plain)]
    for i in range(settings.iterations):
        before = f"paired-{i - 1}" if i else None
        chain.append(taught(f"paired-{i}", f"ours-{i}", before, True, HALVED**i))
        name = "" if i + 1 == settings.iterations else f"ours-{i + 1}"
        chain.append(taught(name, f"paired-{i}", f"ours-{i}", False, HALVED ** (i + 1)))
    return tuple(chain)
