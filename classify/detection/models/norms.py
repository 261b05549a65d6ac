"""Normalisation between the convolutions of a detector's pyramid and head."""

from torch import nn

CHANNELS_PER_GROUP = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation over groups of channels of each image.

    Without it activations of a narrow head vanish, and maps of a pyramid keep the scales of their
    stages. It does not depend on the batch, which of detectors is small.
    """
    return nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)
