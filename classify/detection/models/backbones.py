"""Backbones of detectors: residual and VGG networks of torchvision under a feature pyramid."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, resnet50, resnet101, vgg11_bn, vgg16_bn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from classify.detection.settings import BackboneName
from tgn.models.classifier_facts import read_facts
from tgn.models.foreign_weights import load_backbone
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.explanations import content_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as published weights expect
HEADS = ("fc", "classifier")
# Of residual networks, in torchvision and timm:
STEM_WEIGHT, STEM_MEAN = "conv1.weight", "bn1.running_mean"


class _Layers(NamedTuple):
    """The layers that give a network's maps of stride 4, 8, 16 and 32."""

    build: Any
    layers: dict[str, str]  # child module -> level
    channels: Sequence[int]  # of each level


_RESIDUAL = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
_BACKBONES: dict[str, _Layers] = {
    "resnet18": _Layers(resnet18, _RESIDUAL, (64, 128, 256, 512)),
    "resnet34": _Layers(resnet34, _RESIDUAL, (64, 128, 256, 512)),
    "resnet50": _Layers(resnet50, _RESIDUAL, (256, 512, 1024, 2048)),
    "resnet101": _Layers(resnet101, _RESIDUAL, (256, 512, 1024, 2048)),
    # The second to fifth pooling layers.
    "vgg11": _Layers(vgg11_bn, {"7": "0", "14": "1", "21": "2", "28": "3"}, (128, 256, 512, 512)),
    "vgg16": _Layers(vgg16_bn, {"13": "0", "23": "1", "33": "2", "43": "3"}, (128, 256, 512, 512)),
}


def build_pyramid(
    name: BackboneName, channels: int, is_dense: bool, weights: str | None, frozen_norm: bool
) -> BackboneWithFPN:
    """Build a backbone with its feature pyramid.

    Args:
        name: of the backbone.
        channels: of the pyramid's maps.
        is_dense: strides 8 to 128, for dense detectors; else 4 to 64.
        weights: of the backbone as an image classifier of torchvision: a local file, or
            ``pretrained`` for torchvision's own.
        frozen_norm: whether the backbone's batch normalisation is fixed.

    Raises:
        UserError: for weights that are not available or do not fit.
    """
    spec = _BACKBONES[name]
    net = _load(spec, name, weights)
    if frozen_norm:  # batches of detectors are too small for its statistics
        net = freeze_batch_norm_2d(net)
    levels = dict(list(spec.layers.items())[1:]) if is_dense else spec.layers
    in_channels = list(spec.channels[1:] if is_dense else spec.channels)
    extra = LastLevelP6P7(channels, channels) if is_dense else LastLevelMaxPool()
    backbone = net.features if hasattr(net, "features") else net
    return BackboneWithFPN(backbone, levels, in_channels, channels, extra)


def freeze_stages(pyramid: BackboneWithFPN, name: BackboneName, count: int) -> None:
    """Freeze the first stages of a backbone.

    Args:
        pyramid: from :func:`build_pyramid`.
        name: of its backbone.
        count: 0 to 4; the stem is frozen with the first stage.
    """
    if count == 0:
        return
    last = list(_BACKBONES[name].layers)[count - 1]
    for child, module in pyramid.body.named_children():
        module.requires_grad_(False)
        if child == last:
            return


def _load(spec: _Layers, name: str, weights: str | None) -> nn.Module:
    if weights is None:
        return spec.build(weights=None)
    if weights == "pretrained":
        try:
            return spec.build(weights="DEFAULT")
        except OSError as error:
            raise UserError(
                f"the weights of {name} are not cached and cannot be downloaded ({error}); "
                "give a local file: --set backbone_weights=FILE"
            ) from None
    net = spec.build(weights=None)
    for head in HEADS:  # of the image classifier, not part of a detector
        if hasattr(net, head):
            setattr(net, head, nn.Identity())
    load_backbone(net, _read_weights(Path(weights)), f"{weights} as {name}")
    return net


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read a classifier's weights, converted to pixels normalised by ImageNet's mean and std."""
    weights = load_weights(path)
    facts = read_facts(path)
    if facts is None:
        return weights
    if facts.small_stem or facts.bands != len(MEAN) or STEM_WEIGHT not in weights:
        raise UserError(
            f"{path} is {facts.arch} of images of {facts.size} pixels and {facts.bands} bands; "
            "expected a residual network of colour images with a 7 x 7 stem: "
            "classify train --set arch=resnet18 --set size=96"
        )
    with content_of(path):
        return with_imagenet_normalisation(weights, facts.mean, facts.std)


def with_imagenet_normalisation(
    weights: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Return a residual network's weights for pixels normalised by MEAN and STD.

    The outputs stay equal, but for the border: zero padding stands for another pixel value.

    Args:
        weights: of the network.
        mean: of pixels in [0, 1], that it was trained with, a number a band.
        std: likewise.
    """
    first = weights[STEM_WEIGHT]  # [D, 3, 7, 7]
    known_mean, known_std = first.new_tensor([mean, std])
    here_mean, here_std = first.new_tensor([MEAN, STD])
    shift = (first.sum(dim=(2, 3)) * (here_mean - known_mean) / known_std).sum(dim=1)  # [D]
    scaled = first * (here_std / known_std)[:, None, None]
    return {**weights, STEM_WEIGHT: scaled, STEM_MEAN: weights[STEM_MEAN] - shift}
