"""A projected discriminator: small heads on the features of a frozen network's stages."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTH = 64
SLOPE = 0.2


class StageDiscriminator(nn.Module):
    """Tells real from generated features, place by place, at every stage.

    The features are scaled to second moment 1 at each place; layers have spectral norm 1 (Miyato
    et al. 2018, arXiv 1802.05957). Source: Projected GANs (Sauer et al. 2021, arXiv 2111.01007);
    class and condition enter by projection (Miyato and Koyama 2018, arXiv 1802.05637). Differs from
    the paper: no random mixing of channels and scales.

    Args:
        channels: D_i of each stage.
        num_classes: C; 0: images have no class.
        condition: E, numbers that each image is conditioned on; 0: none.
    """

    def __init__(self, channels: Sequence[int], num_classes: int = 0, condition: int = 0) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_Head(count, num_classes, condition) for count in channels)

    def forward(
        self,
        stages: Sequence[Tensor],
        labels: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> list[Tensor]:
        """Return logits of every stage; larger is more real.

        Args:
            stages: features, each [B, D_i, h_i, w_i].
            labels: [B], needed with classes.
            condition: [B, E], needed if there is one.

        Returns:
            Each [B, 1, h_i, w_i].
        """
        return [
            head(F.normalize(stage.float(), dim=1) * stage.shape[1] ** 0.5, labels, condition)
            for head, stage in zip(self.heads, stages, strict=True)
        ]


class _Head(nn.Module):
    """Logits of one stage: linear in hidden features, plus their product with class and condition.

    The class starts without a say.
    """

    def __init__(self, channels: int, num_classes: int, condition: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            spectral_norm(nn.Conv2d(channels, WIDTH, 1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
            nn.LeakyReLU(SLOPE),
        )
        self.to_logits = spectral_norm(nn.Conv2d(WIDTH, 1, 1))
        self.of_class = nn.Embedding(num_classes, WIDTH) if num_classes else None
        self.of_condition = spectral_norm(nn.Linear(condition, WIDTH)) if condition else None
        if self.of_class is not None:
            nn.init.zeros_(self.of_class.weight)

    def forward(self, stage: Tensor, labels: Tensor | None, condition: Tensor | None) -> Tensor:
        """Map [B, D, h, w] to [B, 1, h, w]."""
        hidden = self.hidden(stage)
        logits: Tensor = self.to_logits(hidden)
        for layer, given in ((self.of_class, labels), (self.of_condition, condition)):
            if layer is not None:
                direction = layer(given)[:, :, None, None] / WIDTH**0.5
                logits = logits + (hidden * direction).sum(1, keepdim=True)
        return logits


def hinge_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the discriminator's hinge loss, mean over stages (Lim and Ye 2017, arXiv 1705.02894).

    Args:
        real: logits of real images, a tensor of each stage.
        fake: of generated ones.
    """
    terms = [
        F.relu(1 - ours).mean() + F.relu(1 + theirs).mean()
        for ours, theirs in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    """Return minus the mean logit, mean over stages: what the generator lowers."""
    return -torch.stack([logits.mean() for logits in fake]).mean()
