"""Recombination: part of a source's latents gives way to latents of other images of its class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.latents.autoencoder import SIDE, unit_moment

FIELD = 2  # side of the random numbers that a mask grows from: parts as large as objects
STEEPNESS = 12.0  # of a mask's edge, in deviations of its field
PARTNERS = 2  # images of the class that fill the rest
KEPT = 16  # images kept of each class at most
KEPT_IN_ALL = 4096
NOISE_DIM = PARTNERS + PARTNERS * FIELD**2  # normal numbers of an image: choice, then masks


class Recombination(nn.Module):
    """Latents of images of every class, and mixtures of a source with them, place by place.

    Noise that is added to latents, white or fitted to a class, decodes to ghosts: on AID-LT the
    independent judge knew the class of 37% of such images at r = 0.4 after training. Whole parts of
    other images of the class leave every texture as it is; 59% before any training. The mixing of
    images under smooth masks is that of FMix (Harris et al. 2020, arXiv 2002.12047), in latents.

    Args:
        num_classes: C.
        channels: of latents.
    """

    kept: Tensor
    counts: Tensor

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.per_class = max(PARTNERS, min(KEPT, KEPT_IN_ALL // num_classes))
        # Those of class k are rows V k to V k + V - 1: four axes, as channels_last wants them.
        shape = num_classes * self.per_class, channels, SIDE, SIDE
        self.register_buffer("kept", torch.zeros(shape))
        self.register_buffer("counts", torch.ones(num_classes, dtype=torch.int64))

    def fit(self, latents: Tensor, labels: Tensor) -> None:
        """Keep latents of each class; call once, before training.

        Args:
            latents: of real images in random order, [N, channels, 16, 16].
            labels: their classes, [N].
        """
        for label in torch.unique(labels).tolist():
            own = latents[labels == label][: self.per_class]
            first = label * self.per_class
            self.kept[first : first + len(own)] = own
            self.counts[label] = len(own)

    def forward(self, latents: Tensor, labels: Tensor, noise: Tensor, ratio: Tensor) -> Tensor:
        """Return latents of which a share r is not of the source.

        Args:
            latents: of sources, [B, channels, 16, 16].
            labels: their classes, [B].
            noise: standard normal, [B, NOISE_DIM].
            ratio: r in [0, 1], [B]: the share of places that other images of the class fill.

        Returns:
            [B, channels, 16, 16], second moment 1.
        """
        choice, fields = noise[:, :PARTNERS], noise[:, PARTNERS:]
        fields = fields.view(-1, PARTNERS, FIELD, FIELD)
        first, second = self._partners(labels, choice)
        # Two images at most up to r = 1/2; at r = 1 half and half of two others.
        of_second = ((ratio - 0.5) / ratio.clamp(min=0.5)).clamp(min=0)
        others = torch.lerp(first, second, masks(fields[:, 1], of_second))
        return unit_moment(torch.lerp(latents, others, masks(fields[:, 0], ratio)))

    def _partners(self, labels: Tensor, choice: Tensor) -> list[Tensor]:
        """Return the latents of two images, different ones if there are, that numbers choose."""
        counts = self.counts[labels]
        uniform = torch.special.ndtr(choice.float())  # [0, 1]
        start = (uniform[:, 0] * counts).long().clamp(max=counts - 1)
        further = 1 + (uniform[:, 1] * (counts - 1)).long()
        rows = labels * self.per_class
        return [self.kept[rows + start], self.kept[rows + (start + further) % counts]]


def masks(fields: Tensor, shares: Tensor) -> Tensor:
    """Return smooth masks whose mean is about the share asked for; 0 and 1 are exact.

    Args:
        fields: normal numbers, [B, FIELD, FIELD].
        shares: in [0, 1], [B].

    Returns:
        [B, 1, 16, 16] in [0, 1].
    """
    size = (SIDE, SIDE)
    field = F.interpolate(fields[:, None].float(), size=size, mode="bicubic", align_corners=False)
    flat = field.flatten(1)
    rank = ((1 - shares) * (flat.shape[1] - 1)).round().long()  # of the value at the mask's edge
    edge = flat.sort(1).values.gather(1, rank[:, None])
    spread = flat.std(1, keepdim=True).clamp(min=1e-6)
    soft = torch.sigmoid(STEEPNESS * (flat - edge) / spread)
    soft = torch.where((shares <= 0)[:, None], 0.0, torch.where((shares >= 1)[:, None], 1.0, soft))
    return soft.view(-1, 1, *size)
