"""The loss of the labels: class and image weights, mixed and soft labels, reweighting by class.

Soft labels t need a loss that is linear in them, as cross-entropy is: the mean of its values at the
classes, weighted by t. That is so with and without logit adjustment and label smoothing.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.losses.long_tail import effective_weights, focal, ldam, ldam_margins, logit_adjusted
from classify.losses.settings import LossName, LossSettings, Reweighting
from classify.methods.base import Batch
from classify.training.settings import TrainSettings

DEFERRED_UNTIL = 0.8  # Cao et al. 2019: of 200 epochs the last 40


class GeneratedWeight(NamedTuple):
    """What generated images count in the loss."""

    weight: float  # of the label that one brings, >= 0; a real image brings 1
    counts: Tensor  # how many of each class count, [C]


class _Labels(NamedTuple):
    """The labels of the images of a batch, or of those mixed in."""

    classes: Tensor  # [B]
    is_generated: Tensor  # [B], bool
    soft: Tensor | None  # in place of the classes, but for the weights: [B, C]


class LabelCriterion:
    """The loss of the labels alone, the same for every method.

    Args:
        name: which loss.
        reweighting: when classes are weighted by their effective number of images: never, always,
            or in the last fifth of the training (deferred re-weighting, Cao et al. 2019).
        settings: hyperparameters of the losses.
        counts: real training images of each class, [C].
        label_smoothing: share of a label that is spread evenly over the classes, in [0, 1); of
            cross-entropy and the logit-adjusted losses.
        generated: what generated images count; None: there are none.
    """

    def __init__(
        self,
        name: LossName,
        reweighting: Reweighting,
        settings: LossSettings,
        counts: Tensor,
        label_smoothing: float = 0.0,
        generated: GeneratedWeight | None = None,
    ) -> None:
        self.name, self.reweighting, self.settings = name, reweighting, settings
        self.label_smoothing = label_smoothing
        beta, (weight, extra) = settings.effective_number_beta, generated or (1.0, 0 * counts)
        kinds = torch.tensor([[1.0], [weight]])
        self.plain_weights = kinds.expand(-1, len(counts))  # of real and generated images, [2, C]
        self.class_weights = kinds * effective_weights(torch.stack((counts, extra)), beta)
        self.margins = ldam_margins(counts, settings.ldam_margin)

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of logits [B, C], float32."""
        own = _Labels(batch.labels, batch.is_generated, batch.targets)
        losses = batch.share * self._weighted(logits, own, batch)
        if batch.partners is not batch.labels:
            partners = _Labels(batch.partners, batch.partner_is_generated, batch.partner_targets)
            other = self._weighted(logits, partners, batch)
            losses = losses + (1 - batch.share) * other
        return losses.mean()

    def _weighted(self, logits: Tensor, labels: _Labels, batch: Batch) -> Tensor:
        targets = labels.classes if labels.soft is None else labels.soft
        losses = self._unweighted(logits, targets, batch)
        deferred = self.reweighting == "deferred" and batch.progress >= DEFERRED_UNTIL
        by_class = deferred or self.reweighting == "effective-number"
        weights = self.class_weights if by_class else self.plain_weights
        return weights.to(losses.device)[labels.is_generated.long(), labels.classes] * losses

    def _unweighted(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        settings = self.settings
        if self.name == "focal":
            return focal(logits, labels, settings.focal_gamma)
        if self.name == "ldam":
            return ldam(logits, labels, self.margins.to(logits.device), settings.ldam_scale)
        if self.name in ("balanced-softmax", "logit-adjustment"):
            adjusts = self.name == "logit-adjustment"
            tau = settings.logit_adjustment_tau if adjusts else 1.0
            prior = batch.prior.to(logits.device)
            return logit_adjusted(logits, labels, prior, tau, self.label_smoothing)
        return F.cross_entropy(
            logits, labels, reduction="none", label_smoothing=self.label_smoothing
        )


def label_criterion(
    settings: TrainSettings, counts: Tensor, generated: Tensor | None = None
) -> LabelCriterion:
    """Return the loss of the labels that the settings ask for.

    ``balance`` b is logit adjustment of strength b (Menon et al. 2021, arXiv 2007.07314, eq. 10,
    tau = b): 0 is cross-entropy, where a class counts by its images; under 1 the network learns
    what it would if all classes were equally frequent.

    Args:
        settings: of the training.
        counts: real training images of each class, [C].
        generated: generated images of each class that count, [C]; None: there are none.
    """
    name, options = settings.loss, settings.loss_options
    if settings.balance is not None:
        name = "logit-adjustment"
        options = options.with_changes({"logit_adjustment_tau": settings.balance})
    weight = None
    if generated is not None:
        of_features = settings.generated_use == "features"  # generated_weight is of another term
        weight = GeneratedWeight(0.0 if of_features else settings.generated_weight, generated)
    return LabelCriterion(
        name, settings.reweighting, options, counts, settings.label_smoothing, weight
    )
