"""The loss of the labels: class and image weights, mixed labels, reweighting by class."""

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.losses.long_tail import effective_weights, focal, ldam, ldam_margins, logit_adjusted
from classify.losses.settings import LossName, LossSettings, Reweighting
from classify.methods.base import Batch
from classify.training.settings import TrainSettings

DEFERRED_UNTIL = 0.8  # Cao et al. 2019: of 200 epochs the last 40


class LabelCriterion:
    """The loss of the labels alone, the same for every method.

    Args:
        name: which loss.
        reweighting: when classes are weighted by their effective number of images: never, always,
            or in the last fifth of the training (deferred re-weighting, Cao et al. 2019).
        settings: hyperparameters of the losses.
        counts: training images of each class, [C].
        label_smoothing: share of a label that is spread evenly over the classes, in [0, 1); of
            cross-entropy and the logit-adjusted losses.
        prior: probability of each class for the logit-adjusted losses, [C], sum 1; None: that of
            the step.
        generated_weight: of the label that a generated image brings, > 0; a real one brings 1.
    """

    def __init__(
        self,
        name: LossName,
        reweighting: Reweighting,
        settings: LossSettings,
        counts: Tensor,
        label_smoothing: float = 0.0,
        prior: Tensor | None = None,
        generated_weight: float = 1.0,
    ) -> None:
        self.name, self.reweighting, self.settings = name, reweighting, settings
        self.label_smoothing, self.prior = label_smoothing, prior
        self.generated_weight = generated_weight
        self.weights = effective_weights(counts, settings.effective_number_beta)
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
        losses = torch.where(is_generated, self.generated_weight, 1.0) * losses
        deferred = self.reweighting == "deferred" and batch.progress >= DEFERRED_UNTIL
        if deferred or self.reweighting == "effective-number":
            losses = losses * self.weights.to(losses.device)[labels]
        return losses

    def _unweighted(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        settings = self.settings
        if self.name == "focal":
            return focal(logits, labels, settings.focal_gamma)
        if self.name == "ldam":
            return ldam(logits, labels, self.margins.to(logits.device), settings.ldam_scale)
        if self.name in ("balanced-softmax", "logit-adjustment"):
            adjusts = self.name == "logit-adjustment"
            tau = settings.logit_adjustment_tau if adjusts else 1.0
            prior = batch.prior if self.prior is None else self.prior
            return logit_adjusted(
                logits, labels, prior.to(logits.device), tau, self.label_smoothing
            )
        return F.cross_entropy(
            logits, labels, reduction="none", label_smoothing=self.label_smoothing
        )


def label_criterion(settings: TrainSettings, counts: Tensor, real_counts: Tensor) -> LabelCriterion:
    """Return the loss of the labels that the settings ask for.

    ``balance`` b is logit adjustment of strength b (Menon et al. 2021, arXiv 2007.07314, eq. 10,
    tau = b) by the class frequencies of the real images: 0 is cross-entropy, where a class counts
    by its images; under 1 the network learns what it would if all classes were equally frequent.

    Args:
        settings: of the training.
        counts: training images of each class, with the generated ones that count, [C].
        real_counts: without them, [C].
    """
    name, options, prior = settings.loss, settings.loss_options, None
    if settings.balance is not None:
        name = "logit-adjustment"
        options = options.with_changes({"logit_adjustment_tau": settings.balance})
        prior = real_counts / real_counts.sum()
    return LabelCriterion(
        name,
        settings.reweighting,
        options,
        counts,
        settings.label_smoothing,
        prior,
        settings.generated_weight,
    )
