"""A projected discriminator: small heads on the features of a frozen network's stages."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTH = 64
SLOPE = 0.2


class StageDiscriminator(nn.Module):
    """Tells real from reconstructed features, place by place, at every stage.

    The features are scaled to second moment 1 at each place; layers have spectral norm 1 (Miyato
    et al. 2018, arXiv 1802.05957). Source: Projected GANs (Sauer et al. 2021, arXiv 2111.01007).
    Differs from the paper: no random mixing of channels and scales.

    Args:
        channels: D_i of each stage.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head(count) for count in channels)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Map features [B, D_i, h_i, w_i] to logits [B, 1, h_i, w_i]; larger is more real."""
        return [
            head(F.normalize(stage.float(), dim=1) * stage.shape[1] ** 0.5)
            for head, stage in zip(self.heads, stages, strict=True)
        ]


def _head(channels: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, WIDTH, 1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(WIDTH, 1, 1)),
    )


def hinge_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the discriminator's hinge loss, mean over stages (Lim and Ye 2017, arXiv 1705.02894).

    Args:
        real: logits of real images, a tensor of each stage.
        fake: of reconstructed ones.
    """
    terms = [
        F.relu(1 - ours).mean() + F.relu(1 + theirs).mean()
        for ours, theirs in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Return minus the mean logit, mean over stages: what the decoder lowers."""
    return -torch.stack([logits.mean() for logits in fake]).mean()
