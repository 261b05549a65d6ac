"""Localization distillation: where an object ends is learned from the teacher's doubts about it.

Sources: Zheng et al. 2022 (CVPR, arXiv 2102.12252) for upright boxes, Zheng et al. 2023 (TPAMI,
arXiv 2204.05957) for rotated ones, and their released code.

Differs from the released code: of upright boxes, sums over anchors are divided by the number of
anchors of the image, so that the weight of a term depends neither on the batch nor on how many
objects there are (``normalise=published`` gives theirs); overlap with a rotated object is the true
one (``region=published`` gives theirs).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from classify.detection.distill.base import Pair, Targets, Teaching
from classify.detection.distill.imitation import imitation
from classify.detection.distill.kernels import folded_kl, softened_kl, softened_sigmoid
from classify.detection.distill.regions import Region, rotated_region, valuable_region
from classify.detection.models.dense import Seen
from classify.detection.models.dense_losses import Labelled, Said
from classify.detection.settings import DetectSettings
from tgn.runtime.errors import UserError

MAIN_DIVISOR, VALUABLE_DIVISOR = 4.0, 16.0  # of the released code


class Strength(NamedTuple):
    """How hot and how heavy the terms are; named as in the settings."""

    temperature: float
    class_temperature: float
    weight: float
    valuable_weight: float
    class_weight: float


UPRIGHT = Strength(10.0, 2.0, 4.0, 4.0, 10.0)  # where sums are divided by anchors
PUBLISHED = UPRIGHT._replace(weight=0.25, valuable_weight=0.25)
ROTATED = Strength(5.0, 5.0, 10.0, 0.0, 20.0)  # theirs of the detector that learns by GWD


def strength_of(settings: DetectSettings) -> Strength:
    """What is set, and what is usual of the rest."""
    chosen = settings.localization
    if settings.detector == "rotated-retinanet":
        usual = ROTATED
    else:
        usual = PUBLISHED if chosen.normalise == "published" else UPRIGHT
    told = {name: getattr(chosen, name) for name in Strength._fields}
    return usual._replace(**{name: value for name, value in told.items() if value is not None})


class DenseDistillation(Teaching):
    """Labels + LD and/or KD on chosen anchors + imitation of maps.

    Args:
        pair: dense detectors with the same anchors, classes and bins.
        settings: of the training.

    Raises:
        UserError: if their outputs cannot be compared.
    """

    def __init__(self, pair: Pair, settings: DetectSettings) -> None:
        super().__init__(pair.student)
        self._teacher = (pair.teacher,)
        self.settings = settings
        self.has_ld = "ld" in settings.distill
        self.has_kd = "kd" in settings.distill
        self.is_rotated = settings.detector == "rotated-retinanet"
        self.strength = strength_of(settings)

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the student's own losses and the terms of distillation."""
        student, teacher = self.student, self._teacher[0]
        seen = student.look(images)
        with torch.no_grad():
            taught = teacher.look_at(seen.images)
        if seen.shapes.shape != taught.shapes.shape or seen.scores.shape != taught.scores.shape:
            raise UserError(
                f"student and teacher say [{_sizes(seen)}] and [{_sizes(taught)}] of an image; "
                "take a teacher of the same detector, classes and size"
            )
        there = student.scaled(seen, images, targets)
        losses = student.losses(seen, there)
        each = [dict(self._terms(seen.one(k), taught.one(k), there[k])) for k in range(len(images))]
        for name in each[0]:
            losses[name] = torch.stack([one[name] for one in each]).mean()
        if self.settings.imitation.region != "none":
            losses["imitation"] = imitation(seen, taught, there, student, self.settings.imitation)
        return losses

    def _terms(self, own: Said, taught: Said, there: Labelled) -> Iterator[tuple[str, Tensor]]:
        """The named terms of one image."""
        if self.is_rotated:
            blind = self.settings.localization.region == "published"
            yield from self._rotated_terms(own, taught, rotated_region(own, there, blind))
        else:
            yield from self._upright_terms(own, taught, there)

    def _upright_terms(
        self, own: Said, taught: Said, there: Labelled
    ) -> Iterator[tuple[str, Tensor]]:
        rows = (self.student.criterion.assign(own, there) >= 0).nonzero().flatten()
        if self.has_ld:
            sure = Region(rows, own.scores[rows].detach().sigmoid().amax(dim=1))
            nearly = valuable_region(own, there)
            main = self._boxes(own, taught, sure).sum(dim=1)
            near = self._boxes(own, taught, nearly).sum(dim=1)
            yield "ld", self.strength.weight * self._mean(main, MAIN_DIVISOR)
            yield "vlr_ld", self.strength.valuable_weight * self._mean(near, VALUABLE_DIVISOR)
        if self.has_kd:
            each = self._classes(own.scores[rows], taught.scores[rows])
            yield "kd", self.strength.class_weight * self._by_level(each, rows, own)

    def _rotated_terms(
        self, own: Said, taught: Said, region: Region
    ) -> Iterator[tuple[str, Tensor]]:
        rows, weight = region
        if self.has_ld:
            each = self._boxes(own, taught, region).sum(dim=1)
            yield "ld", self.strength.weight * self._by_level(each, rows, own)
        if self.has_kd:
            each = weight * self._classes(own.scores[rows], taught.scores[rows])
            yield "kd", self.strength.class_weight * self._by_level(each, rows, own)

    def _boxes(self, own: Said, taught: Said, region: Region) -> Tensor:
        """Weighted divergence of each parameter of each anchor, [n, P]."""
        rows, hot = region.rows, self.strength.temperature
        a, b = own.shapes[rows], taught.shapes[rows]
        each = softened_kl(a, b, hot)
        if self.settings.localization.angle == "periodic" and each.shape[1] == 5:
            bins = self.student.coder.bins
            angle = folded_kl(a[:, 4], b[:, 4], hot, bins)
            each = torch.cat((each[:, :4], angle[:, None]), dim=1)
        return region.weight[:, None] * each

    def _classes(self, own: Tensor, taught: Tensor) -> Tensor:
        is_exclusive = self.settings.localization.classes == "softmax"
        kernel = softened_kl if is_exclusive else softened_sigmoid
        return kernel(own, taught, self.strength.class_temperature)

    def _mean(self, values: Tensor, divisor: float) -> Tensor:
        """Divide a sum over anchors by their number, or by the released code's divisor."""
        if self.settings.localization.normalise == "published":
            # There it is a sum over the batch; here images, and processes, are averaged.
            return values.sum() / divisor * self.settings.batch_size
        return values.sum() / (4 * max(len(values), 1))

    def _by_level(self, values: Tensor, rows: Tensor, said: Said) -> Tensor:
        """Divide a sum by the number of anchors; of rotated ones and as published, by level."""
        if not self.is_rotated and self.settings.localization.normalise == "positives":
            return values.sum() / max(len(values), 1)
        ends = torch.tensor(said.levels, device=rows.device).cumsum(0)
        level = torch.bucketize(rows, ends, right=True)
        counts = torch.bincount(level, minlength=len(ends)).clamp(min=1)
        return (values / counts[level]).sum()


def _sizes(seen: Seen) -> str:
    anchors, classes = seen.scores.shape[1:]
    return f"{anchors} anchors, {classes} classes, {seen.shapes.shape[2]} x {seen.shapes.shape[3]}"
