"""What a step of CDTG passes on: batches, generated images, networks."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.stage_discriminator import StageDiscriminator
from tgn.models.backbones import TappedNet
from tgn.models.clip import ClipGuide
from tgn.models.tail_features import FrozenTailNet


class CdtgHostBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # real, [B, bands, H, W]
    labels: Tensor  # [B]
    codes: Tensor  # symmetry of each image, [B]
    noise: Tensor  # [B + P, noise_dim]
    ratio: Tensor  # [B]


class CdtgBatch(NamedTuple):
    """One process's part of a step, on the device."""

    images: Tensor  # real, [B, bands, H, W] in [-1, 1]
    labels: Tensor  # [B]
    noise: Tensor  # [B + P, noise_dim]; the last P are for second samples of every fourth image
    ratio: Tensor  # r, [B]
    features: Tensor  # of the tail net, [B, D, h, w]
    stages: list[Tensor]  # features of the real images in the frozen network


class Fake(NamedTuple):
    """Generated images of a step and the second samples of every fourth, B + P of them."""

    images: Tensor  # about [-1, 1], [B + P, bands, H, W]
    given: Tensor | None  # recombined real images that they were made from
    stages: list[Tensor]  # features in the frozen network


@dataclass
class CdtgNetworks:
    """The networks of one training.

    Attributes:
        generator: trained.
        discriminator: trained.
        frozen: ImageNet network, on whose stages the discriminator stands.
        frozen_tail_net: gives features and class logits.
        clip: frozen; None without CLIP loss.
        real_distance: mean perceptual distance of two real images of a tail class; 0 without
            diversity loss.
    """

    generator: ConditionalGenerator
    discriminator: StageDiscriminator
    frozen: TappedNet
    frozen_tail_net: FrozenTailNet
    clip: ClipGuide | None
    real_distance: float
