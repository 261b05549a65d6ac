"""Features and logits of the frozen tail net, which guide the training of a generator."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.models.feature_losses import perceptual_distance
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.seeds import generator

REFERENCE_PAIRS = 512
SAMPLED_IMAGES = 512


class TailNetOutput(NamedTuple):
    """What the tail net says of a batch of images."""

    logits: Tensor  # [B, C]
    stages: list[Tensor]  # each [B, D_i, h_i, w_i]; the last are the tail features

    def part(self, rows: slice) -> "TailNetOutput":
        """Return the view of some of the images."""
        return TailNetOutput(self.logits[rows], [stage[rows] for stage in self.stages])


class FrozenTailNet(nn.Module):
    """Tail net, frozen and in eval for good (also when a parent is put into train mode)."""

    def __init__(self, tail_net: TappedNet) -> None:
        super().__init__()
        self.tail_net = tail_net.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FrozenTailNet":
        """Stay in eval: batch norm must not learn from generated images."""
        return super().train(False)

    def forward(self, images_pm1: Tensor) -> TailNetOutput:
        """Return the outputs for images [B, bands, H, W], resized to the tail net's input size."""
        side = self.tail_net.facts.size
        if images_pm1.shape[-1] != side:
            images_pm1 = nn.functional.interpolate(
                images_pm1, size=(side, side), mode="bilinear", antialias=True
            )
        logits, stages = self.tail_net.with_stages(images_pm1)
        return TailNetOutput(
            logits, stages[1:] or stages
        )  # the stem's edges cost most and say least


@torch.no_grad()
def within_class_distance(
    stages_of: Callable[[Tensor], Sequence[Tensor]],
    images: ImageSet,
    classes: Sequence[int],
    device: Device,
    seed: int,
) -> float:
    """Return the mean perceptual distance of two real images of one class, every class alike.

    Args:
        stages_of: frozen features of images_pm1, each [B, D_i, h_i, w_i]; they measure it.
        images: real ones.
        classes: that count, each with as many random pairs; those of one image are left out.
        device: where to compute.
        seed: of the pairs.

    Raises:
        UserError: if no class has two images.
    """
    draw = generator(seed, "reference pairs")
    rows_of = [rows for label in classes if len(rows := images.rows_of(label)) > 1]
    if not rows_of:
        raise UserError(
            "no tail class has two training images, so that how much real images of a class differ "
            "cannot be measured: --set diversity_weight=0"
        )
    each = max(REFERENCE_PAIRS // len(rows_of), 1)
    pairs = torch.cat([_pairs(rows, each, draw) for rows in rows_of], dim=1)
    distances = []
    for rows in pairs.split(128, dim=1):
        views = [stages_of(to_pm1(device.put(images.batch(side)))) for side in rows]
        distances.append(perceptual_distance(*views))
    return float(torch.cat(distances).mean())


def _pairs(rows: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return random pairs of different rows, [2, count]."""
    first = torch.randint(len(rows), (count,), generator=draw)
    further = torch.randint(1, len(rows), (count,), generator=draw)
    return rows[torch.stack([first, (first + further) % len(rows)])]


def random_views(
    images: ImageSet, device: Device, seed: int, per_class: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield about 512 random images, each turned at random, in random order and in parts.

    No class has less than its share while it has images: of every class equally many come first.

    Args:
        images: real ones.
        device: where they are put.
        seed: of the choice.
        per_class: as many at least of each class, if it has them.

    Yields:
        images_pm1 [B, bands, H, W] on the device, and their rows in ``images`` [B].
    """
    draw = generator(seed, "some features")
    classes = torch.unique(images.labels).tolist()
    most = max(SAMPLED_IMAGES // len(classes), per_class)
    shuffled = torch.randperm(len(images), generator=draw)
    labels = images.labels[shuffled]
    rows = torch.cat([shuffled[labels == label][:most] for label in classes])
    rows = rows[torch.randperm(len(rows), generator=draw)]
    codes = torch.randint(SYMMETRIES, (len(rows),), generator=draw)
    for part, code in zip(rows.split(128), codes.split(128), strict=True):
        turned = random_dihedral(to_pm1(device.put(images.batch(part))), code)
        yield turned, part


@torch.no_grad()
def sample_tail_features(
    tail_net_features: FrozenTailNet, images: ImageSet, device: Device, seed: int
) -> tuple[Tensor, Tensor]:
    """Return tail features and classes of `random_views`: [N, D, h, w] and [N] on the CPU."""
    parts = [
        (tail_net_features(turned).stages[-1].cpu(), images.labels[rows])
        for turned, rows in random_views(images, device, seed)
    ]
    features, labels = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(labels)
