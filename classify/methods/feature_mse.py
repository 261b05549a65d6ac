"""The student's stage-3 features follow the teacher's; with one teacher, or one a group."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from classify.losses.distillation import FeatureMatch
from classify.methods.base import Batch, Method, MethodOutput, Teacher, added
from classify.methods.phases import Facts, Parts, Phase, given_teacher
from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError


class FeatureMseSettings(Settings):
    """Settings of ``--method feature-mse`` and ``--method kmdn``."""

    weight: float = Field(0.2, ge=0, description="of the mean squared feature difference")


class FeatureMse(Method):
    """Labels + w MSE(stage-3 features)."""

    def __init__(self, parts: Parts, settings: FeatureMseSettings) -> None:
        super().__init__(parts.student, parts.criterion)
        self._teachers, self.weight = parts.teachers, settings.weight
        teacher = parts.teachers["teacher"].net
        match = FeatureMatch(parts.student.feature_channels, teacher.feature_channels)
        self.match = parts.device.place(match)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        taught = self._teachers["teacher"](batch.images_pm1).features
        mse = self.match(output.features, taught).mean()
        return added(self.criterion(logits, batch), logits, mse=(self.weight, mse))


class GroupedTeachers:
    """Each image's features as the teacher of its class's group sees them.

    Every teacher runs once a batch, on its own images only.

    Args:
        teachers: by name.
        group_of: name of the teacher of each class, C of them.
    """

    def __init__(self, teachers: Mapping[str, Teacher], group_of: tuple[str, ...]) -> None:
        self.teachers = [teachers[name] for name in dict.fromkeys(group_of)]
        order = {name: place for place, name in enumerate(dict.fromkeys(group_of))}
        self.number = torch.tensor([order[name] for name in group_of])  # [C]

    def features(self, images_pm1: Tensor, labels: Tensor) -> Tensor:
        """Return [B, D, h, w] for images [B, bands, H, W] of classes [B]."""
        numbers = self.number.to(labels.device)[labels]
        taught: Tensor | None = None
        for number, teacher in enumerate(self.teachers):
            rows = (numbers == number).nonzero().flatten()
            if len(rows) == 0:
                continue
            own = teacher(images_pm1[rows]).features
            if taught is None:
                taught = own.new_zeros(len(labels), *own.shape[1:])
            taught[rows] = own
        if taught is None:
            raise ValueError("no images to teach")
        return taught


class GroupedFeatureMse(Method):
    """Labels + w MSE to the features of the teacher that owns the image's class.

    Args:
        parts: with a teacher for each name in ``group_of``, all of one architecture.
        group_of: name of the teacher of each class.
        weight: w >= 0.
    """

    def __init__(self, parts: Parts, group_of: tuple[str, ...], weight: float) -> None:
        super().__init__(parts.student, parts.criterion)
        self.weight = weight
        self._grouped = GroupedTeachers(parts.teachers, group_of)
        channels = {name: t.net.feature_channels for name, t in parts.teachers.items()}
        if len(set(channels.values())) > 1:
            raise UserError(f"teachers must have equal feature channels, got {channels}")
        match = FeatureMatch(parts.student.feature_channels, next(iter(channels.values())))
        self.match: nn.Module = parts.device.place(match)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch; a mixed image belongs to the class of its own label."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        taught = self._grouped.features(batch.images_pm1, batch.labels)
        each = self.match(output.features, taught)  # [B]
        self.observe(each.detach(), batch.labels)
        return added(self.criterion(logits, batch), logits, mse=(self.weight, each.mean()))

    def observe(self, differences: Tensor, labels: Tensor) -> None:
        """See a step's feature differences [B]; for methods whose sampling follows them."""


def phases(settings: FeatureMseSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the one phase of ``feature-mse``."""
    teachers = {"teacher": given_teacher(facts, "feature-mse")}
    return (Phase("", lambda parts: FeatureMse(parts, settings), teachers),)


def kmdn_phases(settings: FeatureMseSettings, facts: Facts) -> tuple[Phase, ...]:
    """Return the one phase of ``kmdn``: head and tail net of ``tgn distill`` teach their classes.

    Raises:
        UserError: if they are not there.
    """
    teachers = {name: facts.distilled / f"{name}.safetensors" for name in ("head", "tail")}
    if missing := [str(file) for file in teachers.values() if not file.is_file()]:
        raise UserError(f"--method kmdn found no {missing[0]}; make it with: tgn distill")
    classes = len(facts.counts)
    group_of = ("head",) * facts.num_head + ("tail",) * (classes - facts.num_head)
    return (Phase("", lambda parts: GroupedFeatureMse(parts, group_of, settings.weight), teachers),)
