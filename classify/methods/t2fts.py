"""T2FTS: head, middle and tail teachers trained in turn, then a student taught by group.

Source: Zhao et al. 2022, Teaching Teachers First and Then Student (TGRS,
10.1109/TGRS.2022.3177853). The loss weights are 1 in the paper.

Differs from the released code: teachers stay in eval mode, the sampling weights are a moving
average over batches (a batch holds few of the classes), and the step is chosen on validation
images, never on the test part.
"""

from pathlib import Path

import torch
from torch import Tensor

from classify.losses.distillation import FeatureMatch
from classify.methods.base import Batch, Method, MethodOutput, add_terms
from classify.methods.feature_mse import GroupedFeatureMse
from classify.methods.phases import MethodInputs, Phase, RunFacts
from classify.methods.settings import CalibrationForm, T2ftsSettings
from tgn.data.run_layout import CHECKPOINT
from tgn.data.runs import file_or_named

GROUPS = ("head", "middle", "tail")


def groups_of(classes: int, settings: T2ftsSettings) -> tuple[str, ...]:
    """Return the group of each class, largest class first; every group has at least one.

    Args:
        classes: C >= 3.
        settings: with the fractions of the head and middle groups.
    """
    head = min(max(round(classes * settings.head_fraction), 1), classes - 2)
    middle = min(max(round(classes * settings.middle_fraction), 1), classes - head - 1)
    return ("head",) * head + ("middle",) * middle + ("tail",) * (classes - head - middle)


def calibrated_weights(losses: Tensor, alpha: float, form: CalibrationForm) -> Tensor:
    """Return the sampling probability of each class: the larger its loss, the higher.

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


class DistilledTeacher(Method):
    """A teacher that learns from earlier teachers: labels + the sum of feature differences."""

    def __init__(self, inputs: MethodInputs, settings: T2ftsSettings) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self._teachers, self.weight = inputs.teachers, settings.weight
        own = inputs.student.feature_channels
        self.matches = inputs.device.place(
            torch.nn.ModuleDict(
                {
                    name: FeatureMatch(own, t.net.feature_channels, settings.feature_distance)
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
            target = teacher(batch.images_pm1).features
            distance = self.matches[name](output.features, target).mean()
            terms[f"distance_{name}"] = (self.weight, distance)
        return add_terms(self.criterion(logits, batch), logits, **terms)


class T2ftsStudent(GroupedFeatureMse):
    """The student, with self-calibrated sampling."""

    losses: Tensor  # moving average of each class's feature difference, [C]; saved for resume

    def __init__(
        self, inputs: MethodInputs, group_of: tuple[str, ...], settings: T2ftsSettings
    ) -> None:
        super().__init__(inputs, group_of, settings)
        self.settings = settings
        where = inputs.device.torch_device
        losses = torch.zeros(len(group_of), dtype=torch.float64, device=where)
        self.register_buffer("losses", losses)
        self.device, self.has_images = inputs.device, inputs.counts > 0

    def observe(self, differences: Tensor, labels: Tensor) -> None:
        """Update the moving average of each class in the batch, over all processes."""
        sums = self.losses.new_zeros(2, len(self.losses))
        sums[0].index_add_(0, labels, differences.double())
        sums[1].index_add_(0, labels, torch.ones_like(differences).double())
        total, seen = self.device.total(sums)
        new = total / seen.clamp(min=1)
        old = torch.where(self.losses > 0, self.losses, new)
        decay = self.settings.ema_decay
        averaged = decay * old + (1 - decay) * new
        self.losses.copy_(torch.where(seen > 0, averaged, self.losses))

    def class_weights(self) -> Tensor:
        """Return the probability of each class in the next batch, [C]."""
        settings = self.settings
        weights = calibrated_weights(
            self.losses.cpu(), settings.calibration_alpha, settings.calibration_form
        )
        weights = weights * self.has_images
        return weights / weights.sum()


def phases(settings: T2ftsSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the three teachers, each on its own group, and the student on all classes.

    A teacher that is given is not trained; the later ones learn from it.

    Raises:
        NotFoundError: for a given teacher that is neither a file nor a classifier of the run.
    """
    groups = groups_of(len(facts.counts), settings)
    given = _given_teachers(settings, facts)
    teachers: dict[str, str | Path] = {name: f"teacher-{name}" for name in GROUPS} | given
    trained = tuple(
        Phase(
            f"teacher-{name}",
            lambda inputs: DistilledTeacher(inputs, settings),
            teachers={before: teachers[before] for before in GROUPS[:place]},
            classes=tuple(k for k, group in enumerate(groups) if group == name),
        )
        for place, name in enumerate(GROUPS)
        if name not in given
    )
    student = Phase("", lambda inputs: T2ftsStudent(inputs, groups, settings), teachers)
    return (*trained, student)


def _given_teachers(settings: T2ftsSettings, facts: RunFacts) -> dict[str, Path]:
    """Return group -> file of the teachers that the user named."""
    named = {name: getattr(settings, f"{name}_teacher") for name in GROUPS}
    return {
        name: file_or_named(
            given, facts.classifiers, CHECKPOINT, f"{name} teacher", "classify train"
        )
        for name, given in named.items()
        if given is not None
    }
