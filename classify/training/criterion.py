"""The loss of the labels: class and image weights, mixed labels, reweighting by class."""

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

    weight: float  # of the label that one brings, > 0; a real image brings 1
    counts: Tensor  # how many of each class count, [C]


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
        own = self._weighted(logits, batch.labels, batch.is_generated, batch)
        losses = batch.share * own
        if batch.partners is not batch.labels:
            other = self._weighted(logits, batch.partners, batch.partner_is_generated, batch)
            losses = losses + (1 - batch.share) * other
        return losses.mean()

    def _weighted(
        self, logits: Tensor, labels: Tensor, is_generated: Tensor, batch: Batch
    ) -> Tensor:
        losses = self._unweighted(logits, labels, batch)
        deferred = self.reweighting == "deferred" and batch.progress >= DEFERRED_UNTIL
        by_class = deferred or self.reweighting == "effective-number"
        weights = self.class_weights if by_class else self.plain_weights
        return weights.to(losses.device)[is_generated.long(), labels] * losses

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
        weight = GeneratedWeight(settings.generated_weight, generated)
    return LabelCriterion(
        name, settings.reweighting, options, counts, settings.label_smoothing, weight
    )
