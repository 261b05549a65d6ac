"""T2FTS: head, middle and tail teachers taught in turn, then a student that asks the right one.

Source: Zhao et al. 2022, Teaching Teachers First and Then Student (TGRS,
10.1109/TGRS.2022.3177853). The loss weights are 1 in the paper.

Differs from the released code: teachers stay in eval while they teach, the sampling weights are a
moving average over batches (a batch shows few of the classes), and the step is chosen on
validation images, never on the test part.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from classify.losses.distillation import FeatureMatch
from classify.methods.base import Batch, Method, MethodOutput, added
from classify.methods.feature_mse import GroupedFeatureMse
from classify.methods.phases import Facts, Parts, Phase
from tgn.runtime.config import Settings

GROUPS = ("head", "middle", "tail")
CalibrationForm = Literal["released", "inside-log"]


class T2ftsSettings(Settings):
    """Settings of ``--method t2fts``."""

    head: float = Field(0.25, gt=0, lt=1, description="share of the classes taught by the first")
    middle: float = Field(0.25, gt=0, lt=1, description="share taught by the second teacher")
    weight: float = Field(1.0, ge=0, description="of each feature difference")
    alpha: float = Field(75.0, gt=0, description="of the self-calibrated sampling")
    form: CalibrationForm = Field(
        "released",
        description="released: alpha log(1 + L), where alpha cancels; inside-log: log(1 + alpha L)",
    )
    memory: float = Field(0.9, ge=0, lt=1, description="of a class's L from batch to batch")


def groups_of(classes: int, settings: T2ftsSettings) -> tuple[str, ...]:
    """Name the group of each class, largest first; every group has at least one."""
    head = min(max(round(classes * settings.head), 1), classes - 2)
    middle = min(max(round(classes * settings.middle), 1), classes - head - 1)
    return ("head",) * head + ("middle",) * middle + ("tail",) * (classes - head - middle)


def calibrated_weights(losses: Tensor, alpha: float, form: CalibrationForm) -> Tensor:
    """Return how often to draw each class: the worse it is mimicked, the more often.

    Args:
        losses: mean feature difference of each class, [C] >= 0; 0 where unknown.
        alpha: > 0.
        form: "released": w = alpha log(1 + L), so alpha cancels; "inside-log": log(1 + alpha L).

    Returns:
        [C], sum 1; an unknown class has the mean of the known ones.
    """
    weights = (alpha * losses).log1p() if form == "inside-log" else alpha * losses.log1p()
    known = weights > 0
    if not known.any():
        return torch.full_like(weights, 1 / len(weights))
    weights = torch.where(known, weights, weights[known].mean())
    return weights / weights.sum()


class TaughtTeacher(Method):
    """A teacher that learns from earlier ones: labels + the sum of feature differences."""

    def __init__(self, parts: Parts, weight: float) -> None:
        super().__init__(parts.student, parts.criterion)
        self._teachers, self.weight = parts.teachers, weight
        own = parts.student.feature_channels
        self.matches = parts.device.place(
            torch.nn.ModuleDict(
                {
                    name: FeatureMatch(own, t.net.feature_channels)
                    for name, t in self._teachers.items()
                }
            )
        )

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        terms: dict[str, tuple[float, Tensor]] = {}
        for name, teacher in self._teachers.items():
            taught = teacher(batch.images_pm1).features
            mse = self.matches[name](output.features, taught).mean()
            terms[f"mse_{name}"] = (self.weight, mse)
        return added(self.criterion(logits, batch), logits, **terms)


class T2ftsStudent(GroupedFeatureMse):
    """The student, with self-calibrated sampling."""

    losses: Tensor  # moving average of each class's feature difference, [C]; saved for resume

    def __init__(self, parts: Parts, group_of: tuple[str, ...], settings: T2ftsSettings) -> None:
        super().__init__(parts, group_of, settings.weight)
        self.settings = settings
        where = parts.device.torch_device
        losses = torch.zeros(len(group_of), dtype=torch.float64, device=where)
        self.register_buffer("losses", losses)
        self.device, self.there = parts.device, parts.counts > 0

    def observe(self, differences: Tensor, labels: Tensor) -> None:
        """Note how well each class of the batch is mimicked."""
        sums = self.losses.new_zeros(2, len(self.losses))
        sums[0].index_add_(0, labels, differences.double())
        sums[1].index_add_(0, labels, torch.ones_like(differences).double())
        total, seen = self.device.total(sums)
        new = total / seen.clamp(min=1)
        old = torch.where(self.losses > 0, self.losses, new)
        kept = self.settings.memory * old + (1 - self.settings.memory) * new
        self.losses.copy_(torch.where(seen > 0, kept, self.losses))

    def class_weights(self) -> Tensor:
        """Return how often the next batch shall draw each class, [C]."""
        weights = calibrated_weights(self.losses.cpu(), self.settings.alpha, self.settings.form)
        weights = weights * self.there
        return weights / weights.sum()


def phases(settings: T2ftsSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the three teachers, each on its own group, and the student on all."""
    groups = groups_of(len(facts.counts), settings)
    teachers = tuple(
        Phase(
            f"teacher-{name}",
            lambda parts: TaughtTeacher(parts, settings.weight),
            teachers={before: f"teacher-{before}" for before in GROUPS[:place]},
            classes=tuple(k for k, group in enumerate(groups) if group == name),
        )
        for place, name in enumerate(GROUPS)
    )
    student = Phase(
        "",
        lambda parts: T2ftsStudent(parts, groups, settings),
        teachers={name: f"teacher-{name}" for name in GROUPS},
    )
    return (*teachers, student)
