"""Learning from labels alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.losses import balanced_softmax
from classify.methods.base import MethodOutput
from classify.settings import LossName
from tgn.core.backbones import TappedNet


class PlainMethod:
    """Cross-entropy or balanced softmax, no teacher.

    Args:
        student: the network that learns.
        loss: "ce" or "balanced-softmax".
        prior: [C], how often each class is drawn.
    """

    def __init__(self, student: TappedNet, loss: LossName, prior: Tensor) -> None:
        self.student, self.loss = student, loss
        self.log_prior = prior.clamp(min=torch.finfo(torch.float32).tiny).log()

    def __call__(self, images_pm1: Tensor, labels: Tensor) -> MethodOutput:
        """Return the loss of a batch."""
        logits = self.student(images_pm1).logits.float()
        if self.loss == "ce":
            loss = F.cross_entropy(logits, labels)
        else:
            loss = balanced_softmax(logits, labels, self.log_prior.to(logits.device))
        return MethodOutput(loss, {"loss": loss}, logits)
