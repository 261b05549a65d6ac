"""Distillation of features: the student's stage-3 features match those of one or more teachers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classify.losses.distillation import FeatureMatch
from classify.methods.base import Batch, Method, MethodOutput, Teacher, add_terms
from classify.methods.phases import MethodInputs, Phase, RunFacts, given_teacher
from classify.methods.settings import FeatureMseSettings, T2ftsSettings
from tgn.runtime.errors import UserError


class FeatureMse(Method):
    """Labels + w distance(stage-3 features of student and teacher)."""

    def __init__(self, inputs: MethodInputs, settings: FeatureMseSettings) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self._teachers, self.weight = inputs.teachers, settings.weight
        teacher = inputs.teachers["teacher"].net
        match = FeatureMatch(
            inputs.student.feature_channels, teacher.feature_channels, settings.feature_distance
        )
        self.match = inputs.device.place(match)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        target = self._teachers["teacher"](batch.images_pm1).features
        distance = self.match(output.features, target).mean()
        return add_terms(self.criterion(logits, batch), logits, distance=(self.weight, distance))


class GroupedTeachers:
    """Several teachers, each for the images of its own classes.

    Every teacher runs once a batch, on its own images only.

    Args:
        teachers: by name, all with features of one shape.
        group_of: name of the teacher of each class, C of them.
    """

    def __init__(self, teachers: Mapping[str, Teacher], group_of: tuple[str, ...]) -> None:
        self.teachers = [teachers[name] for name in dict.fromkeys(group_of)]
        order = {name: place for place, name in enumerate(dict.fromkeys(group_of))}
        self.number = torch.tensor([order[name] for name in group_of])  # [C]

    def features(self, images_pm1: Tensor, labels: Tensor) -> Tensor:
        """Return [B, D, h, w] for images [B, bands, H, W] of classes [B].

        Raises:
            ValueError: if the batch is empty.
        """
        numbers = self.number.to(labels.device)[labels]
        features: Tensor | None = None
        for number, teacher in enumerate(self.teachers):
            rows = (numbers == number).nonzero().flatten()
            if len(rows) == 0:
                continue
            own = teacher(images_pm1[rows]).features
            if features is None:
                features = own.new_zeros(len(labels), *own.shape[1:])
            features[rows] = own
        if features is None:
            raise ValueError("expected at least one image, got an empty batch")
        return features


class GroupedFeatureMse(Method):
    """Labels + w distance to the features of the teacher of the image's class.

    Args:
        inputs: with a teacher for each name in ``group_of``, all of one architecture.
        group_of: name of the teacher of each class.
        settings: w, and the kind of distance.

    Raises:
        UserError: if the teachers differ in their feature channels.
    """

    def __init__(
        self,
        inputs: MethodInputs,
        group_of: tuple[str, ...],
        settings: FeatureMseSettings | T2ftsSettings,
    ) -> None:
        super().__init__(inputs.student, inputs.criterion)
        self.weight = settings.weight
        self._grouped = GroupedTeachers(inputs.teachers, group_of)
        channels = {name: t.net.feature_channels for name, t in inputs.teachers.items()}
        if len(set(channels.values())) > 1:
            raise UserError(f"teachers must have equal feature channels, got {channels}")
        match = FeatureMatch(
            inputs.student.feature_channels,
            next(iter(channels.values())),
            settings.feature_distance,
        )
        self.match: nn.Module = inputs.device.place(match)

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch; a mixed image belongs to the class of its own label."""
        output = self.student(batch.images_pm1)
        logits = output.logits.float()
        target = self._grouped.features(batch.images_pm1, batch.labels)
        each = self.match(output.features, target)  # [B]
        self.observe(each.detach(), batch.labels)
        return add_terms(self.criterion(logits, batch), logits, distance=(self.weight, each.mean()))

    def observe(self, differences: Tensor, labels: Tensor) -> None:
        """Take in a step's feature differences [B] of classes [B]; for sampling that adapts."""


def phases(settings: FeatureMseSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the one phase of ``feature-mse``.

    Raises:
        UserError: without ``--teacher``.
    """
    teachers = {"teacher": given_teacher(facts, "feature-mse")}
    return (Phase("", lambda inputs: FeatureMse(inputs, settings), teachers),)


def kmdn_phases(settings: FeatureMseSettings, facts: RunFacts) -> tuple[Phase, ...]:
    """Return the one phase of ``kmdn``: head and tail net of ``tgn distill`` teach their classes.

    Raises:
        UserError: if ``tgn distill`` has not made them.
    """
    teachers = {name: facts.distilled / f"{name}.safetensors" for name in ("head", "tail")}
    if missing := [str(file) for file in teachers.values() if not file.is_file()]:
        raise UserError(f"--method kmdn found no {missing[0]}; make it with: tgn distill")
    classes = len(facts.counts)
    group_of = ("head",) * facts.num_head + ("tail",) * (classes - facts.num_head)
    return (Phase("", lambda inputs: GroupedFeatureMse(inputs, group_of, settings), teachers),)
