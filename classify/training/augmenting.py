"""How the images of a step are changed before the network sees them, by (seed, step) alone."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.training.settings import TrainSettings
from tgn.data.augmentation import (
    Augmentation,
    augment,
    draw_augmentation,
    draw_crops,
    random_dihedral,
    relight,
    rotated_crops,
)
from tgn.data.images import to_pm1
from tgn.data.random_policies import apply_policy
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of


class DrawnChanges(NamedTuple):
    """What happens to each image of a whole batch, on all processes alike."""

    overhead: Augmentation
    crops: Tensor  # see draw_crops
    step: int
    side: int | None  # of the images in this step; None: as they were read


class Augmenter:
    """Changes the images of a step.

    ``overhead`` turns, mirrors, shifts, zooms and relights. ``randaugment`` and ``trivial`` apply
    torchvision's policies and then one of the 8 symmetries, since overhead images have no up.
    With ``smallest_crop`` a random crop at any angle takes the place of symmetry, shift and zoom.

    Args:
        settings: of the training.
        device: where it is done; the policies work on the CPU.
    """

    def __init__(self, settings: TrainSettings, device: Device) -> None:
        self.settings, self.device = settings, device

    def draw(self, count: int, step: int) -> DrawnChanges:
        """Decide what happens to the ``count`` images of a step."""
        seed, sides = self.settings.seed, self.settings.mixed_sizes
        overhead = draw_augmentation(count, generator(seed, "classify augment", step))
        crops = draw_crops(count, generator(seed, "classify crop", step))
        side = None
        if sides:
            rng = generator(seed, "classify side", step)
            side = sides[int(torch.randint(len(sides), (), generator=rng))]
        return DrawnChanges(overhead, crops, step, side)

    def changed(self, images_u8: Tensor, rows: Tensor, drawn: DrawnChanges) -> Tensor:
        """Return rows [n] of a batch [B, bands, S, S] as images_pm1 [n, bands, S, S]."""
        name, smallest = self.settings.augmentation, self.settings.smallest_crop
        picked = images_u8[rows]
        if name in ("randaugment", "trivial"):
            keys = (self.settings.seed, "classify policy", drawn.step)
            picked = apply_policy(name, picked, [seed_of(*keys, row) for row in rows.tolist()])
        images = to_pm1(self.device.put(picked))
        overhead = drawn.overhead.rows(rows)
        if name == "none":
            return images
        if smallest is not None:
            images = rotated_crops(images, drawn.crops[rows], smallest)
            return relight(images, overhead) if name == "overhead" else images
        if name == "overhead":
            return augment(images, overhead)
        return random_dihedral(images, overhead.codes.to(images.device))


def at_side(images_pm1: Tensor, side: int | None) -> Tensor:
    """Return images [B, bands, S, S] at another side, bicubic as files are read."""
    if side is None or images_pm1.shape[-1] == side:
        return images_pm1
    resized = F.interpolate(images_pm1, (side, side), mode="bicubic", antialias=True)
    return resized.clamp(-1, 1)
