"""Frozen feature networks: each maps uint8 images [B, bands, H, W] to features [B, D]."""

import io
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from timm.data.config import resolve_data_config
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.models.clip import ClipGuide
from tgn.models.foreign_weights import bare_names, batch_counters
from tgn.models.inference import class_logits
from tgn.runtime.checkpoints import load_strictly, load_weights
from tgn.runtime.errors import UserError

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
IMAGES_AT_ONCE = 32


def resized(images_pm1: Tensor, size: int, mode: str = "bilinear") -> Tensor:
    """Return [B, bands, H, W] resized to ``size`` x ``size``, antialiased; mode also bicubic."""
    if images_pm1.shape[-2:] == (size, size):
        return images_pm1
    return F.interpolate(images_pm1, (size, size), mode=mode, antialias=True)


class FeatureNetwork(nn.Module):
    """Base of networks from uint8 images [B, bands, H, W] to features [B, D].

    Args:
        resize_rule: how images are resized to the network's input, in words.
        bands: of the images it takes; networks for three also take one, as grey.
    """

    def __init__(self, resize_rule: str, bands: int = 3) -> None:
        super().__init__()
        self.resize_rule = resize_rule
        self.bands = bands


class TailFeatures(FeatureNetwork):
    """Stage-3 features of a classifier of this toolkit, averaged over space."""

    def __init__(self, net: TappedNet) -> None:
        super().__init__(f"bilinear, antialiased, to {net.facts.size} px", net.facts.bands)
        self.net = net

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, D] of uint8 images [B, bands, H, W]."""
        images_pm1 = resized(to_pm1(images_u8), self.net.facts.size)
        return self.net(images_pm1).features.mean(dim=(2, 3))  # [B, D, h, w] -> [B, D]


class ClassLogits(FeatureNetwork):
    """Logits of a classifier of this toolkit."""

    def __init__(self, net: TappedNet) -> None:
        rule = f"bicubic, antialiased, to {net.facts.size} px"
        if net.facts.test_symmetries > 1:
            rule += f"; mean of {net.facts.test_symmetries} symmetries"
        super().__init__(rule, net.facts.bands)
        self.net = net

    @property
    def arch(self) -> str:
        """Return the name of the architecture."""
        return self.net.facts.arch

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the class folders in the order of the logits."""
        return self.net.facts.folders

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return logits [B, C] of uint8 images [B, bands, H, W]."""
        size = self.net.facts.size
        images_pm1 = resized(to_pm1(images_u8), size, "bicubic").clamp(-1, 1)  # as files are read
        return class_logits(self.net, images_pm1)


class PretrainedFeatures(FeatureNetwork):
    """Penultimate features of a classifier: the input of its last layer.

    Args:
        backbone: the network without its last layer: normalised [B, 3, S, S] to [B, D].
        size: S, the side of its input in pixels.
        mean: per band, of pixels in [0, 1].
        std: per band, of pixels in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__(f"bilinear, antialiased, to {size} px")
        self.backbone = backbone
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, D] of uint8 images [B, 3 or 1, H, W]; one band is grey."""
        images_pm1 = resized(to_pm1(images_u8).expand(-1, 3, -1, -1), self.size)
        return self.backbone((images_pm1 * 0.5 + 0.5 - self.mean) / self.std)


class ImagenetFeatures(FeatureNetwork):
    """Embedding after pooling of a network with ImageNet weights; every image is shown at 128 px.

    Args:
        net: of :func:`tgn.models.backbones.load_imagenet_backbone`; it normalises by itself.
    """

    SIZE = 128

    def __init__(self, net: TappedNet) -> None:
        super().__init__(f"bicubic, antialiased, to {self.SIZE} px")
        self.net = net

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, D] of uint8 images [B, 3 or 1, H, W]; one band is grey."""
        images_pm1 = to_pm1(images_u8).expand(-1, 3, -1, -1)
        # On CPUs a few images at a time stay in the caches: twice as fast.
        parts = resized(images_pm1, self.SIZE, "bicubic").clamp(-1, 1).split(IMAGES_AT_ONCE)
        return torch.cat(
            [
                self.net(part.contiguous(memory_format=torch.channels_last)).embedding
                for part in parts
            ]
        )


class ClipFeatures(FeatureNetwork):
    """Unit embeddings of the image encoder of a CLIP."""

    def __init__(self, guide: ClipGuide) -> None:
        super().__init__(f"bilinear, antialiased, to {guide.size} px")
        self.guide = guide

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return unit embeddings [B, D] of uint8 images [B, 3 or 1, H, W]; one band is grey."""
        return self.guide.image_embeddings(to_pm1(images_u8))


class InceptionFeatures(FeatureNetwork):
    """The Inception network of the FID paper, as ported by torch-fidelity: D = 2048."""

    def __init__(self, net: FeatureExtractorInceptionV3) -> None:
        super().__init__("bilinear as in TensorFlow 1, not antialiased, to 299 px")
        self.net = net

    def forward(self, images_u8: Tensor) -> Tensor:
        """Return features [B, 2048] of uint8 images [B, 3 or 1, H, W]; one band is grey."""
        return self.net(images_u8.expand(-1, 3, -1, -1))[0]


def build_inception(path: Path) -> InceptionFeatures:
    """Return torch-fidelity's FID Inception with the weights of a file.

    Raises:
        UserError: if the file is not there or holds another network.
    """
    try:
        # torch-fidelity unpickles any file: pass it tensors that were read safely.
        stream = io.BytesIO()
        torch.save(load_weights(path), stream)
        stream.seek(0)
        net = FeatureExtractorInceptionV3("inception", ["2048"], stream)
    except (UserError, RuntimeError) as error:
        raise UserError(
            f"the Inception of FID needs torch-fidelity's file {INCEPTION_FILE} (its release "
            f"v0.2.0); fetch it and name it as inception:/path/to/{INCEPTION_FILE}; got {path}: "
            f"{str(error)[:300]}"
        ) from None
    return InceptionFeatures(net)


def build_torchvision(name: str, path: Path) -> PretrainedFeatures:
    """Return a torchvision classifier with the weights of a file, without its last layer.

    Raises:
        UserError: if the file is not there, or a key is missing, unknown or misshapen.
    """
    with warnings.catch_warnings():
        # googlenet and inception_v3 warn about an initialisation that is overwritten here.
        warnings.simplefilter("ignore", FutureWarning)
        net = torchvision.models.get_model(name, weights=None)
    _load(net, path)
    layers = [key for key, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    net.set_submodule(layers[-1], nn.Identity())
    expected = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    size, mean, std = expected.crop_size[0], tuple(expected.mean), tuple(expected.std)
    return PretrainedFeatures(net, size, mean, std)


def build_timm(name: str, path: Path) -> PretrainedFeatures:
    """Return a timm classifier with the weights of a file, without its last layer.

    Raises:
        UserError: if the file is not there, or a key is missing, unknown or misshapen.
    """
    net: Any = timm.create_model(name, pretrained=False)
    _load(net, path)
    net.reset_classifier(0)
    config = resolve_data_config(model=net)
    return PretrainedFeatures(net, config["input_size"][1], config["mean"], config["std"])


def _load(net: nn.Module, path: Path) -> None:
    own = net.state_dict()
    weights = bare_names(load_weights(path), own, str(path))
    load_strictly(net, batch_counters(own) | weights, str(path))
