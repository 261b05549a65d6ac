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
from tgn.models.backbones import read_facts
from tgn.runtime.checkpoints import load_strictly, load_weights
from tgn.runtime.errors import UserError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as published weights expect
HEADS = ("fc", "classifier")
FIRST, AFTER = "conv1.weight", "bn1.running_mean"  # of residual networks, as timm has them too


class _Trunk(NamedTuple):
    """Where a network's maps of stride 4, 8, 16 and 32 come from."""

    build: Any
    layers: dict[str, str]  # child -> level
    channels: Sequence[int]


_RESIDUAL = {"layer1": "0", "layer2": "1", "layer3": "2", "layer4": "3"}
_TRUNKS: dict[str, _Trunk] = {
    "resnet18": _Trunk(resnet18, _RESIDUAL, (64, 128, 256, 512)),
    "resnet34": _Trunk(resnet34, _RESIDUAL, (64, 128, 256, 512)),
    "resnet50": _Trunk(resnet50, _RESIDUAL, (256, 512, 1024, 2048)),
    "resnet101": _Trunk(resnet101, _RESIDUAL, (256, 512, 1024, 2048)),
    # The second to fifth pooling layers.
    "vgg11": _Trunk(vgg11_bn, {"7": "0", "14": "1", "21": "2", "28": "3"}, (128, 256, 512, 512)),
    "vgg16": _Trunk(vgg16_bn, {"13": "0", "23": "1", "33": "2", "43": "3"}, (128, 256, 512, 512)),
}


def build_pyramid(
    name: BackboneName, width: int, is_dense: bool, weights: str | None, frozen_norm: bool
) -> BackboneWithFPN:
    """Build a backbone with its pyramid.

    Args:
        name: of the backbone.
        width: channels of the pyramid's maps.
        is_dense: strides 8 to 128, as dense detectors want; else 4 to 64.
        weights: of the backbone as an image classifier of torchvision: a local file, or
            ``pretrained`` for torchvision's own.
        frozen_norm: whether the backbone's batch normalisation is fixed.

    Raises:
        UserError: for weights that cannot be had or do not fit.
    """
    trunk = _TRUNKS[name]
    net = _trunk_with(trunk, name, weights)
    if frozen_norm:  # batches of detectors are too small to change it
        net = freeze_batch_norm_2d(net)
    levels = dict(list(trunk.layers.items())[1:]) if is_dense else trunk.layers
    channels = list(trunk.channels[1:] if is_dense else trunk.channels)
    extra = LastLevelP6P7(width, width) if is_dense else LastLevelMaxPool()
    body = net.features if hasattr(net, "features") else net
    return BackboneWithFPN(body, levels, channels, width, extra)


def freeze_stages(pyramid: BackboneWithFPN, name: BackboneName, count: int) -> None:
    """Let the first stages of a backbone be trained no more.

    Args:
        pyramid: from :func:`build_pyramid`.
        name: of its backbone.
        count: 0 to 4; what stands before the first stage goes with it.
    """
    if count == 0:
        return
    last = list(_TRUNKS[name].layers)[count - 1]
    for child, module in pyramid.body.named_children():
        module.requires_grad_(False)
        if child == last:
            return


def _trunk_with(trunk: _Trunk, name: str, weights: str | None) -> nn.Module:
    if weights is None:
        return trunk.build(weights=None)
    if weights == "pretrained":
        try:
            return trunk.build(weights="DEFAULT")
        except OSError as error:
            raise UserError(
                f"the weights of {name} are not cached and cannot be downloaded ({error}); "
                "give a local file: --set weights=FILE"
            ) from None
    net = trunk.build(weights=None)
    for head in HEADS:  # of the image classifier, no part of a detector
        if hasattr(net, head):
            setattr(net, head, nn.Identity())
    known = {k: v for k, v in _weights_of(Path(weights)).items() if k.split(".")[0] not in HEADS}
    load_strictly(net, known, f"{weights} as {name}")
    return net


def _weights_of(path: Path) -> Mapping[str, Tensor]:
    """Read a classifier's weights so that they take pixels normalised as ImageNet's."""
    weights = load_weights(path)
    facts = read_facts(path)
    if facts is None:
        return weights
    if facts.small_stem or facts.bands != len(MEAN) or FIRST not in weights:
        raise UserError(
            f"{path} is {facts.arch} of images of {facts.size} pixels and {facts.bands} bands; "
            "expected a residual network of colour images with its usual first layer: "
            "classify train --set arch=resnet18 --set size=96"
        )
    return reading_imagenet(weights, facts.mean, facts.std)


def reading_imagenet(
    weights: Mapping[str, Tensor], mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """Rewrite a residual network so that it takes pixels normalised by MEAN and STD.

    Nothing else changes but for the padding of the first layer, which stands for another grey.

    Args:
        weights: of the network.
        mean: of pixels in [0, 1], by which it was trained.
        std: likewise.
    """
    first = weights[FIRST]  # [D, 3, 7, 7]
    known_mean, known_std = first.new_tensor([mean, std])
    here_mean, here_std = first.new_tensor([MEAN, STD])
    shift = (first.sum(dim=(2, 3)) * (here_mean - known_mean) / known_std).sum(dim=1)  # [D]
    scaled = first * (here_std / known_std)[:, None, None]
    return {**weights, FIRST: scaled, AFTER: weights[AFTER] - shift}
