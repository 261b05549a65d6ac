"""The CLIP that needs no download: a frozen ImageNet network, a projection and a text tower."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from tgn.data.prompts import Prompts
from tgn.models.backbones import TappedNet, load_imagenet_backbone
from tgn.models.classifier_layers import normalised_parts
from tgn.models.clip import ClipGuide, tokenised
from tgn.models.pretrained import file_of, imagenet_weights
from tgn.models.training_networks import TrainingNetwork, imagenet_network

ARCH = "tf_efficientnet_lite0"
MAX_SIZE = 64  # pixels; larger images are made smaller
EMBEDDING = 128
CONTEXT = 16  # tokens of a prompt
TEXT_TOWER = {"context_length": CONTEXT, "width": 64, "heads": 2, "layers": 2}
LOGIT_SCALE = 1 / 0.07  # at the start (Radford et al. 2021, arXiv 2103.00020, section 2.5)
WITHOUT = "use --set clip=none or clip=ARCH:/path/to/file"


class ClipHeads(nn.Module):
    """What is trained: a projection of image features, a text tower and the temperature.

    Args:
        parts: how many features each part of an image's features has; see :meth:`TappedNet.pooled`.
    """

    mean: Tensor

    def __init__(self, parts: Sequence[int]) -> None:
        super().__init__()
        from open_clip.transformer import TextTransformer

        self.parts = tuple(parts)
        self.register_buffer("mean", torch.zeros(sum(parts)))
        self.projection = nn.Linear(sum(parts), EMBEDDING)
        self.text: Any = TextTransformer(output_dim=EMBEDDING, **TEXT_TOWER)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE).log())

    def project(self, features: Tensor) -> Tensor:
        """Return embeddings [B, 128] of features [B, sum of parts], not yet of unit length."""
        unit = normalised_parts(features.float(), self.mean, self.parts)
        # Of unit variance on average, as the initial weights of a linear layer expect.
        return self.projection(unit * len(self.mean) ** 0.5)


class TinyTowers(nn.Module):
    """Both towers, with the interface of an open_clip model.

    Args:
        trunk: frozen; it stays in eval mode.
    """

    def __init__(self, trunk: TappedNet) -> None:
        super().__init__()
        self.trunk = trunk
        bands, size = trunk.facts.bands, trunk.facts.size
        parts = trunk.pooled(torch.zeros(1, bands, size, size))
        self.heads = ClipHeads([part.shape[1] for part in parts])

    def train(self, mode: bool = True) -> Self:
        """Switch the heads' mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def features(self, images_pm1: Tensor) -> Tensor:
        """Return what the projection reads, [B, D], of images [B, bands, S, S]."""
        return torch.cat([part.float() for part in self.trunk.pooled(images_pm1)], dim=1)

    def encode_image(self, images_pm1: Tensor) -> Tensor:
        """Return embeddings [B, 128] of images [B, bands, S, S]."""
        embeddings: Tensor = self.heads.project(self.features(images_pm1))
        return embeddings

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Return embeddings [N, 128] of tokens [N, L]."""
        embeddings: Tensor = self.heads.text(tokens)
        return embeddings

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of CLIP's inverse temperature."""
        return self.heads.logit_scale


def tiny_clip(prompts: Prompts, size: int, bands: int = 3) -> ClipGuide:
    """Build the CLIP that ``clip=tiny`` trains on the run's own images; its heads are untrained.

    It takes images at their own ``size``, at most 64 px: the frozen network is convolutional.

    Args:
        prompts: of every class.
        size: side of the images in pixels.
        bands: of the images; see :func:`tgn.models.backbones.load_imagenet_backbone`.

    Raises:
        UserError: if the package with the ImageNet weights is not installed.
    """
    import open_clip

    file_of(imagenet_weights(ARCH), WITHOUT)  # a remedy that fits, before anything is loaded
    size = min(size, MAX_SIZE)
    towers = TinyTowers(load_imagenet_backbone(ARCH, size, bands))
    tokens = tokenised(lambda texts: open_clip.tokenize(texts, context_length=CONTEXT), prompts)
    half = (0.5,) * bands  # the frozen network takes pixels in [-1, 1] and normalises them
    return ClipGuide(towers, tokens, size, mean=half, std=half)


def tiny_clip_networks() -> list[TrainingNetwork]:
    """Return the frozen network within the CLIP of :func:`tiny_clip`."""
    return [imagenet_network(ARCH)]
