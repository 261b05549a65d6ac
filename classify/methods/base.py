"""What the training loop knows of a method."""

from typing import NamedTuple, Protocol

from torch import Tensor


class MethodOutput(NamedTuple):
    """The loss of a batch, its named parts for the log, and the logits [B, C]."""

    loss: Tensor
    parts: dict[str, Tensor]
    logits: Tensor


class Method(Protocol):
    """A way to teach: holds the student and, where there are any, its frozen teachers."""

    def __call__(self, images_pm1: Tensor, labels: Tensor) -> MethodOutput:
        """Return the loss of images [B, bands, H, W] with labels [B]."""
