"""Normalisation between the convolutions of a detector's pyramid and head."""

from torch import nn

CHANNELS_PER_GROUP = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation over groups of channels of each image; any batch size will do."""
    return nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)
