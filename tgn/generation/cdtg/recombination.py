"""Recombination: parts of a source image give way to parts of other images of its class."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.images import to_pm1

SIDE = 16  # of a mask, before it is enlarged
FIELD = 2  # side of the random numbers that a mask grows from: parts as large as objects
# Of a mask's edge, in deviations of its field; for every level of a pyramid, the finest first.
STEEPNESS = (12.0, 8.0, 4.0, 2.0, 1.0)
PARTNERS = 2  # images of the class that may fill the rest
KEPT = 16  # images kept of each class at most
KEPT_BYTES = 1 << 26  # of all classes, but two of each
# With the source or without, which images, their views, the masks.
NOISE_SIZES = (1, PARTNERS, PARTNERS, PARTNERS * FIELD**2)
NOISE_DIM = sum(NOISE_SIZES)


class Recombination(nn.Module):
    """Images of every class, and mixtures of a source with them, place by place.

    Noise that is added to features or latents decodes to ghosts: on AID-LT an independent judge
    named the class of 37% of such images at r = 0.4, after training. Whole parts of other images
    of the class keep every texture as it is. Images are mixed under smooth masks as in FMix
    (Harris et al. 2020, arXiv 2002.12047), here within one class, and level by level of a Laplacian
    pyramid (Burt and Adelson 1983): what is coarse, as the light, changes over a wide edge.

    Args:
        num_classes: C.
        bands: of an image.
        size: its side in pixels.

    Attributes:
        files: of each row of ``kept``, "" of those that are empty; none where they are not known,
            as of generators of older versions.
    """

    kept: Tensor
    counts: Tensor
    files: list[str]

    def __init__(self, num_classes: int, bands: int, size: int) -> None:
        super().__init__()
        room = KEPT_BYTES // (num_classes * bands * size**2)
        self.per_class = max(PARTNERS, min(KEPT, room))
        # Those of class k are rows V k to V k + V - 1: four axes, as channels_last wants them.
        shape = num_classes * self.per_class, bands, size, size
        self.register_buffer("kept", torch.zeros(shape, dtype=torch.uint8))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.int64))
        self.files = []

    def keep(self, images_u8: Tensor, labels: Tensor, files: Sequence[str]) -> None:
        """Keep the first images of each class; call once, before training.

        Args:
            images_u8: real ones in random order, [N, bands, S, S].
            labels: their classes, [N].
            files: as the split names them, N.
        """
        self.files = [""] * len(self.kept)
        for label in torch.unique(labels).tolist():
            rows = (labels == label).nonzero().flatten()[: self.per_class]
            first = label * self.per_class
            own = slice(first, first + len(rows))
            self.kept[own] = images_u8[rows]
            self.files[own] = [files[row] for row in rows.tolist()]
            self.counts[label] = len(rows)

    def name_files(self, files: Sequence[str]) -> None:
        """Say where the images in ``kept`` are from, as a file of weights says it.

        Raises:
            ValueError: if it names other than there are, or counts others.
        """
        if len(files) not in (0, len(self.kept)):
            raise ValueError(f"{len(files)} files for {len(self.kept)} kept images")
        if not bool(((self.counts >= 0) & (self.counts <= self.per_class)).all()):
            raise ValueError(f"a class has kept more than {self.per_class} images")
        self.files = list(files)

    def forward(self, sources: Tensor, labels: Tensor, noise: Tensor, ratio: Tensor) -> Tensor:
        """Return images of which a share r is not of the source.

        Args:
            sources: images_pm1, [B, bands, S, S].
            labels: their classes, [B].
            noise: standard normal, [B, NOISE_DIM].
            ratio: r in [0, 1], [B]: the share of places that other images of the class fill. Never
                more than two images meet: above 1/2, 2 r - 1 of the images are halves of two
                others, and the rest half the source and half another.

        Returns:
            images_pm1, [B, bands, S, S].
        """
        luck, choice, views, fields = noise.split(NOISE_SIZES, dim=1)
        fields = fields.reshape(-1, PARTNERS, FIELD, FIELD)
        first, second = self._partners(labels, choice, views)
        is_free = _is_free(luck, ratio)
        others = blended(first, second, fields[:, 1], 0.5 * is_free)
        share = torch.where(is_free, 1.0, ratio.clamp(max=0.5))
        return blended(sources.float(), others, fields[:, 0], share)

    def files_within(self, labels: Tensor, noise: Tensor, ratio: Tensor) -> list[tuple[str, ...]]:
        """Return the files of the kept images whose parts `forward` puts into each image.

        Args:
            labels: as of `forward`.
            noise: likewise.
            ratio: likewise.

        Returns:
            For each image none, one or two files; the source may be among them. None of any image
            where files are not known.
        """
        if not self.files:
            return [()] * len(labels)
        luck, choice, _, _ = noise.split(NOISE_SIZES, dim=1)
        numbers = (ratio > 0).long() + _is_free(luck, ratio)
        chosen = zip(self._chosen(labels, choice).T.tolist(), numbers.tolist(), strict=True)
        return [
            tuple(dict.fromkeys(self.files[row] for row in rows[:number]))
            for rows, number in chosen
        ]

    def _partners(self, labels: Tensor, choice: Tensor, views: Tensor) -> list[Tensor]:
        """Return two images in random views that numbers choose, different ones if there are."""
        codes = _codes(views)
        return [
            random_dihedral(to_pm1(self.kept[own]), codes[:, number])
            for number, own in enumerate(self._chosen(labels, choice))
        ]

    def _chosen(self, labels: Tensor, choice: Tensor) -> Tensor:
        """Return the rows of two kept images of each class that numbers choose, [2, B]."""
        counts = self.counts[labels].clamp(min=1)
        uniform = torch.special.ndtr(choice)
        start = (uniform[:, 0] * counts).long().clamp(max=counts - 1)
        further = (1 + (uniform[:, 1] * (counts - 1)).long()).clamp(max=counts - 1)
        return labels * self.per_class + torch.stack([start, (start + further) % counts])


def _is_free(luck: Tensor, ratio: Tensor) -> Tensor:
    """Return which images are halves of two others, without any of their source, [B]."""
    return torch.special.ndtr(luck[:, 0]) <= 2 * ratio - 1


def _codes(normal: Tensor) -> Tensor:
    """Return symmetries, all equally likely, from standard normal numbers."""
    return (torch.special.ndtr(normal) * SYMMETRIES).long().clamp(max=SYMMETRIES - 1)


def blended(base: Tensor, other: Tensor, fields: Tensor, shares: Tensor) -> Tensor:
    """Return images a share of which is of others, level by level of a Laplacian pyramid.

    Args:
        base: [B, C, S, S].
        other: the same shape.
        fields: normal numbers that give the place, [B, FIELD, FIELD].
        shares: of ``other``, in [0, 1], [B].

    Returns:
        [B, C, S, S]; for shares of 0 and 1 one of the two, up to rounding.
    """
    details = []
    for steepness in STEEPNESS[:-1]:
        coarse = [F.avg_pool2d(image, 2) for image in (base, other)]
        fine = [image - _doubled(low) for image, low in zip((base, other), coarse, strict=True)]
        mask = masks(fields, shares, base.shape[-1], steepness)
        details.append(torch.lerp(fine[0], fine[1], mask))
        base, other = coarse
    result = torch.lerp(base, other, masks(fields, shares, base.shape[-1], STEEPNESS[-1]))
    for detail in reversed(details):
        result = _doubled(result) + detail
    return result


def _doubled(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def masks(fields: Tensor, shares: Tensor, size: int, steepness: float) -> Tensor:
    """Return smooth masks whose mean is about the share asked for; 0 and 1 are exact.

    Args:
        fields: normal numbers, [B, FIELD, FIELD].
        shares: in [0, 1], [B].
        size: side in pixels.
        steepness: of edges, in deviations of the field.

    Returns:
        [B, 1, size, size] in [0, 1].
    """
    grown = F.interpolate(fields[:, None], size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    flat = grown.flatten(1)
    rank = ((1 - shares) * (flat.shape[1] - 1)).round().long()  # of the value at the mask's edge
    edge = flat.sort(1).values.gather(1, rank[:, None])
    spread = flat.std(1, keepdim=True).clamp(min=1e-6)
    # Near 0 and 1 a wide edge would take more than its share.
    near_ends = 4 * (shares * (1 - shares)).clamp(min=1e-3)[:, None]
    soft = torch.sigmoid(steepness * (flat - edge) / (spread * near_ends))
    soft = torch.where((shares <= 0)[:, None], 0.0, torch.where((shares >= 1)[:, None], 1.0, soft))
    soft = soft.view(-1, 1, SIDE, SIDE)
    return F.interpolate(soft, size=(size, size), mode="bilinear", align_corners=False)
