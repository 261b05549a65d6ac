"""Localization distillation (LD) of dense detectors, with logit KD and feature imitation.

LD transfers the teacher's distributions of box edges, and so its uncertainty about them.

Sources: Zheng et al. 2022 (CVPR, arXiv 2102.12252) for upright boxes, Zheng et al. 2023 (TPAMI,
arXiv 2204.05957) for rotated ones, and their released code.

The defaults are those of the released code. With ``normalise=positives`` sums over the anchors of
upright boxes are divided by their number, so that the weight of a term depends neither on the
batch nor on the number of objects; with ``region_iou=rotated`` the IoU with rotated objects is
exact.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from classify.detection.distill.base import DetectionTask, DistillationPair, Targets
from classify.detection.distill.divergences import (
    periodic_angle_kl,
    softened_binary_kl,
    softened_kl,
)
from classify.detection.distill.imitation import imitation_loss
from classify.detection.distill.regions import Region, rotated_region, valuable_region
from classify.detection.models.batch_means import LossSum, batch_means
from classify.detection.models.dense import BatchPredictions
from classify.detection.models.dense_losses import ImagePredictions, ImageTargets
from classify.detection.settings.detector import DetectSettings
from tgn.runtime.errors import UserError

MAIN_DIVISOR, VALUABLE_DIVISOR = 4.0, 16.0  # of the released code


class DenseDistillation(DetectionTask):
    """Losses of annotations, plus LD and/or KD on chosen anchors and imitation of features.

    Args:
        pair: dense detectors with the same anchors, classes and bins.
        settings: of the training.

    Raises:
        UserError: if their outputs cannot be compared.
    """

    def __init__(self, pair: DistillationPair, settings: DetectSettings) -> None:
        super().__init__(pair.student)
        self._teacher = (pair.teacher,)  # in a tuple, or it would be a module of this one
        self.settings = settings
        self.has_ld = "ld" in settings.distill
        self.has_kd = "kd" in settings.distill
        self.is_rotated = settings.is_rotated
        self.weights = settings.distillation_weights

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the student's own losses and the terms of distillation."""
        student, teacher = self.student, self._teacher[0]
        own = student.predict(images)
        with torch.no_grad():
            taught = teacher.predict_prepared(own.images)
        _check_comparable(own, taught)
        scaled = student.scale_targets(own, images, targets)
        losses = student.losses(own, scaled)
        each = [
            dict(self._terms(own.of_image(k), taught.of_image(k), one))
            for k, one in enumerate(scaled)
        ]
        if each[0]:
            losses |= batch_means(each, student.average, student.processes)
        if self.settings.imitation.region != "none":
            losses["imitation"] = imitation_loss(
                own, taught, scaled, student, self.settings.imitation
            )
        return losses

    def _terms(
        self, own: ImagePredictions, taught: ImagePredictions, targets: ImageTargets
    ) -> Iterator[tuple[str, LossSum]]:
        """Yield the named terms of one image."""
        if self.is_rotated:
            ignores_angle = self.settings.localization.region_iou == "published"
            region = rotated_region(own, targets, ignores_angle)
            yield from self._rotated_terms(own, taught, region)
        else:
            yield from self._upright_terms(own, taught, targets)

    def _upright_terms(
        self, own: ImagePredictions, taught: ImagePredictions, targets: ImageTargets
    ) -> Iterator[tuple[str, LossSum]]:
        rows = (self.student.criterion.assign(own, targets) >= 0).nonzero().flatten()
        if self.has_ld:
            positives = Region(rows, own.class_logits[rows].detach().sigmoid().amax(dim=1))
            valuable = valuable_region(own, targets)
            main = self._box_divergence(own, taught, positives).sum(dim=1)
            near = self._box_divergence(own, taught, valuable).sum(dim=1)
            yield "ld", self._sum(self.weights.ld_weight * main, MAIN_DIVISOR)
            yield "vlr_ld", self._sum(self.weights.vlr_weight * near, VALUABLE_DIVISOR)
        if self.has_kd:
            each = self._class_divergence(own.class_logits[rows], taught.class_logits[rows])
            yield "kd", self._level_sums(self.weights.kd_weight * each, rows, own)

    def _rotated_terms(
        self, own: ImagePredictions, taught: ImagePredictions, region: Region
    ) -> Iterator[tuple[str, LossSum]]:
        rows, weight = region
        if self.has_ld:
            each = self._box_divergence(own, taught, region).sum(dim=1)
            yield "ld", self._level_sums(self.weights.ld_weight * each, rows, own)
        if self.has_kd:
            each = weight * self._class_divergence(
                own.class_logits[rows], taught.class_logits[rows]
            )
            yield "kd", self._level_sums(self.weights.kd_weight * each, rows, own)

    def _box_divergence(
        self, own: ImagePredictions, taught: ImagePredictions, region: Region
    ) -> Tensor:
        """Return the weighted divergence of each parameter of each anchor, [n, P]."""
        rows, temperature = region.rows, self.weights.ld_temperature
        a, b = own.box_logits[rows], taught.box_logits[rows]
        each = softened_kl(a, b, temperature)
        if self.settings.localization.angle == "periodic" and each.shape[1] == 5:
            bins = self.student.coder.bins
            angle = periodic_angle_kl(a[:, 4], b[:, 4], temperature, bins)
            each = torch.cat((each[:, :4], angle[:, None]), dim=1)
        return region.weight[:, None] * each

    def _class_divergence(self, own: Tensor, taught: Tensor) -> Tensor:
        is_softmax = self.settings.localization.kd_activation == "softmax"
        divergence = softened_kl if is_softmax else softened_binary_kl
        return divergence(own, taught, self.weights.kd_temperature)

    def _sum(self, values: Tensor, divisor: float) -> LossSum:
        """Return a sum over anchors with their number, or with the released code's divisor."""
        if self.settings.localization.normalise == "positives":
            return LossSum(values.sum(), values.new_tensor(4.0 * len(values)))
        # There it is a sum over the batch: the mean over its images, times their number.
        whole = values.sum() / divisor * self.settings.batch_size
        return LossSum(whole, values.new_ones(()))

    def _level_sums(self, values: Tensor, rows: Tensor, predictions: ImagePredictions) -> LossSum:
        """Return a sum with the number of anchors; if rotated or as published, of each level."""
        if not self.is_rotated and self.settings.localization.normalise == "positives":
            return LossSum(values.sum(), values.new_tensor(float(len(values))))
        ends = torch.tensor(predictions.levels, device=rows.device).cumsum(0)
        level = torch.bucketize(rows, ends, right=True)
        counts = torch.bincount(level, minlength=len(ends)).to(values.dtype)
        return LossSum(torch.zeros_like(counts).index_add(0, level, values), counts)


def _check_comparable(own: BatchPredictions, taught: BatchPredictions) -> None:
    shapes = [(one.box_logits.shape, one.class_logits.shape) for one in (own, taught)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"student and teacher predict [{_sizes(own)}] and [{_sizes(taught)}] for an image; "
            "take a teacher of the same detector, classes and size"
        )


def _sizes(predictions: BatchPredictions) -> str:
    anchors, classes = predictions.class_logits.shape[1:]
    parameters, bins = predictions.box_logits.shape[2:]
    return f"{anchors} anchors, {classes} classes, {parameters} x {bins} box logits"
