"""The interface of a method: what the training loop calls, and what it hands over."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tgn.models.backbones import Output, TappedNet, freeze


class Batch(NamedTuple):
    """The augmented and mixed images of one step, with their labels and weights."""

    images_pm1: Tensor  # [B, bands, H, W] in [-1, 1]
    labels: Tensor  # [B]; of several labels an image [B, C]
    partners: Tensor  # labels of the images mixed in, [B]; ``labels`` itself without mixing
    share: Tensor  # of the own label against the partner's, [B] in [0, 1]
    is_generated: Tensor  # [B], bool
    partner_is_generated: Tensor  # whether the images mixed in are, [B], bool
    prior: Tensor  # probability of each class among the real images of the step, [C], sum 1
    progress: float  # steps done over steps, in [0, 1)
    paired_pm1: Tensor | None = None  # the same scenes from the other sensor
    targets: Tensor | None = None  # soft labels in place of ``labels``, [B, C], sum 1
    partner_targets: Tensor | None = None  # likewise of the images mixed in


class MethodOutput(NamedTuple):
    """The loss of a batch, its named terms for the log, and the logits [B, C]."""

    loss: Tensor
    terms: dict[str, Tensor]
    logits: Tensor


Criterion = Callable[[Tensor, Batch], Tensor]  # logits [B, C] -> a scalar


class Teacher:
    """A frozen network: no gradients, always in eval mode.

    It is no ``nn.Module``, so a method that holds one neither trains nor saves it.
    """

    def __init__(self, net: TappedNet) -> None:
        self.net = freeze(net)

    @torch.no_grad()
    def __call__(self, images_pm1: Tensor) -> Output:
        """Return logits, features and embedding of images [B, bands, H, W] in [-1, 1]."""
        return self.net(images_pm1)


class Method(nn.Module):
    """Computes the loss of a student. Its parameters are trained, its state is saved.

    Args:
        student: the network that learns.
        criterion: loss of the labels alone.
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
        """Return the probability of each class in the next batch, [C]; None: as sampling says."""
        return None

    def after_step(self) -> None:
        """Change the weights after the optimiser's step; here nothing is changed."""

    def finalize(self, student: TappedNet) -> TappedNet:
        """Return the network to keep, made from the averaged student after the last step."""
        return student


def add_terms(label_loss: Tensor, logits: Tensor, **terms: tuple[float, Tensor]) -> MethodOutput:
    """Add weighted terms to the loss of the labels.

    Args:
        label_loss: a scalar.
        logits: [B, C].
        **terms: name = (weight, scalar).
    """
    loss = label_loss
    for weight, value in terms.values():
        loss = loss + weight * value
    values = {name: value for name, (_, value) in terms.items()}
    return MethodOutput(loss, {"loss": loss, "labels": label_loss, **values}, logits)
