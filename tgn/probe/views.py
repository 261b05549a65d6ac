"""Features of the views of an image: its symmetries and random crops, by a frozen network."""

import copy
import hashlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tgn.data.augmentation import dihedral, draw_crops, rotated_crops
from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.models.feature_networks import FeatureNetwork
from tgn.runtime.seeds import generator

READ = "bicubic on reading; embedding and two stages"
BATCH_VIEWS = 32  # fastest on CPUs: larger ones leave the caches
TOLERANCE = 1e-3  # of the length of features: rounding stays far below it


class SymmetryViews(FeatureNetwork):
    """Features [B, S, D] of the first S symmetries of the square of every image.

    Args:
        net: in eval mode; batch normalisation is folded into a copy's convolutions.
        symmetries: S, 1 to 8.
    """

    def __init__(self, net: TappedNet, symmetries: int) -> None:
        super().__init__(f"{READ}; {symmetries} symmetries", net.facts.bands)
        self.net, self.symmetries = net, symmetries

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, S, D] of uint8 images [B, bands, H, W]."""
        images_pm1 = to_pm1(images_u8)
        views = (dihedral(images_pm1, code) for code in range(self.symmetries))
        return torch.stack([features(self.net, view) for view in views], dim=1)


class CropViews(FeatureNetwork):
    """Features [B, n, D] of n random crops of every image, at any angle.

    A crop is a function of the seed and of the image's pixels: other images, their order and the
    size of batches change nothing.

    Args:
        net: in eval mode.
        crops: n.
        smallest: shortest side of a crop as a share of the image's; the longest is 1.
        seed: of the crops.
    """

    def __init__(self, net: TappedNet, crops: int, smallest: float, seed: int) -> None:
        rule = f"{READ}; {crops} crops from {smallest:g} of the side, seed {seed}"
        super().__init__(rule, net.facts.bands)
        self.net, self.crops, self.smallest, self.seed = net, crops, smallest, seed

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, n, D] of uint8 images [B, bands, H, W]."""
        numbers = crop_numbers(images_u8, self.crops, self.seed)
        images_pm1 = to_pm1(images_u8)
        views = (rotated_crops(images_pm1, part, self.smallest) for part in numbers.unbind(1))
        return torch.stack([features(self.net, view) for view in views], dim=1)


def crop_numbers(images_u8: Tensor, crops: int, seed: int) -> Tensor:
    """Return the random numbers [B, n, 5] in [0, 1) that place the crops of each image."""
    drawn = []
    for image in images_u8.cpu():
        digest = hashlib.sha256(image.contiguous().numpy()).hexdigest()
        drawn.append(draw_crops(crops, generator(seed, "crops", digest)))
    return torch.stack(drawn)


def features(net: TappedNet, images_pm1: Tensor) -> Tensor:
    """Return what a probe reads of a batch, its parts side by side [B, D], a few images a time."""
    parts = images_pm1.contiguous(memory_format=torch.channels_last).split(BATCH_VIEWS)
    return torch.cat([torch.cat(net.pooled(part), dim=1) for part in parts])


def folded(net: TappedNet) -> TappedNet:
    """Return a copy whose batch normalisations are folded into the convolutions before them.

    On a CPU the network is faster by a third to a half. Where a network applies its layers in
    another order than it lists them the outputs would differ: then it is the network itself.

    Args:
        net: in eval mode.
    """
    fast = copy.deepcopy(net)
    for module in fast.net.modules():
        _fold_children(module)
    size, rng = net.facts.size, generator("folded batch normalisation")
    images_pm1 = torch.rand(2, net.facts.bands, size, size, generator=rng) * 2 - 1
    with torch.inference_mode():
        expected, found = features(net, images_pm1), features(fast, images_pm1)
    same = (expected - found).norm() <= TOLERANCE * expected.norm()
    return fast if same else net


def _fold_children(module: nn.Module) -> None:
    before: str | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            convolution: Any = module.get_submodule(before)
            if convolution.out_channels != child.num_features:
                continue
            setattr(module, before, fuse_conv_bn_eval(convolution, child))
            # timm's normalisations hold the activation behind them
            after = nn.Sequential(
                *(getattr(child, part) for part in ("drop", "act") if hasattr(child, part))
            )
            setattr(module, name, after)
        before = name if isinstance(child, nn.Conv2d) else None
