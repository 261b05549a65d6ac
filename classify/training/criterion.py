"""What labels ask of logits: the loss, with weights of classes and images and mixed labels."""

from typing import Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from classify.losses.long_tail import (
    LossName,
    effective_weights,
    focal,
    ldam,
    ldam_margins,
    logit_adjusted,
)
from classify.methods.base import Batch
from tgn.runtime.config import Settings

DEFERRED_UNTIL = 0.8  # Cao et al. 2019: of 200 epochs the last 40


class LossSettings(Settings):
    """Numbers of the losses."""

    gamma: float = Field(2.0, ge=0, description="focal: how much likely images fade")
    margin: float = Field(0.5, gt=0, description="ldam: margin of the rarest class, as a cosine")
    scale: float = Field(30.0, gt=0, description="ldam: of the cosine")
    tau: float = Field(1.0, ge=0, description="logit-adjustment: times the log frequency")
    beta: float = Field(0.999, ge=0, lt=1, description="effective number: 1 - 1 / volume")


class LabelCriterion:
    """The loss of labels alone, the same for every method.

    Args:
        name: which loss.
        reweighting: classes weigh as their effective number of images says: never, always, or in
            the last fifth of the training (deferred re-weighting, Cao et al. 2019).
        settings: numbers of the losses.
        counts: training images of each class, [C].
    """

    def __init__(
        self,
        name: LossName,
        reweighting: Literal["none", "effective-number", "deferred"],
        settings: LossSettings,
        counts: Tensor,
    ) -> None:
        self.name, self.reweighting, self.settings = name, reweighting, settings
        self.weights = effective_weights(counts, settings.beta)
        self.margins = ldam_margins(counts, settings.margin)

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of logits [B, C], float32."""
        losses = batch.share * self._each(logits, batch.labels, batch)
        if batch.partners is not batch.labels:
            losses = losses + (1 - batch.share) * self._each(logits, batch.partners, batch)
        return (batch.weight * losses).mean()

    def _each(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        losses = self._unweighted(logits, labels, batch)
        deferred = self.reweighting == "deferred" and batch.progress >= DEFERRED_UNTIL
        if deferred or self.reweighting == "effective-number":
            losses = losses * self.weights.to(losses.device)[labels]
        return losses

    def _unweighted(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        numbers = self.settings
        if self.name == "focal":
            return focal(logits, labels, numbers.gamma)
        if self.name == "ldam":
            return ldam(logits, labels, self.margins.to(logits.device), numbers.scale)
        if self.name in ("balanced-softmax", "logit-adjustment"):
            tau = numbers.tau if self.name == "logit-adjustment" else 1.0
            return logit_adjusted(logits, labels, batch.prior.to(logits.device), tau)
        return F.cross_entropy(logits, labels, reduction="none")
