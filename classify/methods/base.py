"""What the training loop knows of a method, and what a method knows of a batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tgn.models.backbones import Output, TappedNet, freeze


class Batch(NamedTuple):
    """One step's images, as the student sees them, and all that is known of them."""

    images_pm1: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    partners: Tensor  # labels of what was mixed in, [B]; the same ones where nothing was
    share: Tensor  # of the own label against the partner's, [B] in [0, 1]
    weight: Tensor  # of an image in the loss, [B]
    prior: Tensor  # how often each class is drawn in this step, [C], sum 1
    progress: float  # steps done over steps, in [0, 1)
    paired_pm1: Tensor | None = None  # the same scenes seen by the other sensor


class MethodOutput(NamedTuple):
    """The loss of a batch, its named parts for the log, and the logits [B, C]."""

    loss: Tensor
    parts: dict[str, Tensor]
    logits: Tensor


Criterion = Callable[[Tensor, Batch], Tensor]  # logits [B, C] -> a scalar


class Teacher:
    """A network that is only asked: no gradients, always in eval.

    It is no ``nn.Module``, so a method that holds one neither trains nor saves it.
    """

    def __init__(self, net: TappedNet) -> None:
        self.net = freeze(net)

    @torch.no_grad()
    def __call__(self, images_pm1: Tensor) -> Output:
        """Return logits, features and embedding of images [B, bands, H, W]."""
        return self.net(images_pm1)


class Method(nn.Module):
    """A way to teach a student. Its parameters are what is trained, its state what is saved.

    Args:
        student: the network that learns.
        criterion: what labels alone ask of the logits.
    """

    def __init__(self, student: TappedNet, criterion: Criterion) -> None:
        super().__init__()
        self.student, self.criterion = student, criterion

    def forward(self, batch: Batch) -> MethodOutput:
        """Return the loss of a batch; here from labels alone, without a teacher."""
        logits = self.student(batch.images_pm1).logits.float()
        loss = self.criterion(logits, batch)
        return MethodOutput(loss, {"loss": loss}, logits)

    def class_weights(self) -> Tensor | None:
        """Return how often the next batch shall draw each class, [C]; None: as sampling says."""
        return None

    def finished(self, student: TappedNet) -> TappedNet:
        """Return the network to keep, made from (the average of) the student; at the end."""
        return student


def added(label_loss: Tensor, logits: Tensor, **terms: tuple[float, Tensor]) -> MethodOutput:
    """Join the loss of the labels with weighted terms: name = (weight, value)."""
    loss = label_loss
    for weight, value in terms.values():
        loss = loss + weight * value
    values = {name: value for name, (_, value) in terms.items()}
    return MethodOutput(loss, {"loss": loss, "labels": label_loss, **values}, logits)
