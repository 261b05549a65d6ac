"""Faster R-CNN and RetinaNet of torchvision over residual and VGG backbones with a pyramid."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, resnet50, resnet101, vgg11_bn, vgg16_bn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from classify.detection.average_precision import Found
from classify.detection.settings import BackboneName, DetectorName
from tgn.core.checkpoints import load_strictly, load_weights
from tgn.core.errors import UserError

PYRAMID_CHANNELS = 256
HEADS = ("fc", "classifier")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as published weights expect


class _Trunk(NamedTuple):
    """Where a network's maps of stride 8, 16 and 32 (and 4) come from."""

    build: Any
    layers: dict[str, str]  # child -> level, for strides 4, 8, 16, 32
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


class DetectorFacts(NamedTuple):
    """What a detector is built from, and rebuilt from its file."""

    detector: DetectorName
    backbone: BackboneName
    classes: tuple[str, ...]
    size: int  # long side at which images are seen, in pixels
    frozen_norm: bool = False  # whether the backbone's batch normalisation is fixed


def build_detector(facts: DetectorFacts, weights: str | None = None) -> nn.Module:
    """Build a detector.

    Its classes are 1, 2, ... in torchvision's way of counting for Faster R-CNN, whose 0 is the
    background; :func:`detect` and :func:`targets_for` translate.

    Args:
        facts: of the network.
        weights: of the backbone as an image classifier of torchvision: a local file, or
            ``pretrained`` for torchvision's own.

    Raises:
        UserError: for weights that cannot be had or do not fit.
    """
    trunk = _TRUNKS[facts.backbone]
    net = _trunk_with(trunk, facts.backbone, weights)
    if facts.frozen_norm:  # batches of detectors are too small to change it
        net = freeze_batch_norm_2d(net)
    is_dense = facts.detector == "retinanet"
    levels = dict(list(trunk.layers.items())[1:]) if is_dense else trunk.layers
    channels = list(trunk.channels[1:] if is_dense else trunk.channels)
    extra = LastLevelP6P7(PYRAMID_CHANNELS, PYRAMID_CHANNELS) if is_dense else LastLevelMaxPool()
    body = net.features if hasattr(net, "features") else net
    pyramid = BackboneWithFPN(body, levels, channels, PYRAMID_CHANNELS, extra)
    seen = {"min_size": facts.size, "max_size": facts.size, "image_mean": MEAN, "image_std": STD}
    count = len(facts.classes)
    if is_dense:
        return RetinaNet(pyramid, count, **seen)
    return FasterRCNN(pyramid, count + 1, **seen)


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
    known = {k: v for k, v in load_weights(Path(weights)).items() if k.split(".")[0] not in HEADS}
    load_strictly(net, known, f"{weights} as {name}")
    return net


def targets_for(net: nn.Module, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return one image's labels as torchvision's detectors take them.

    Args:
        net: from :func:`build_detector`.
        boxes: [N, 4] in pixels of the image; N may be 0.
        labels: [N], 0 for the first class.
    """
    return {"boxes": boxes.float(), "labels": labels + int(isinstance(net, FasterRCNN))}


@torch.inference_mode()
def detect(net: nn.Module, images: Sequence[Tensor]) -> list[Found]:
    """Detect objects; the network must be in eval.

    Args:
        net: from :func:`build_detector`.
        images: each [3, H, W] in [0, 1], any size.

    Returns:
        For each image its detections, labels from 0.
    """
    shift = int(isinstance(net, FasterRCNN))
    return [
        Found(one["boxes"].cpu(), one["labels"].cpu() - shift, one["scores"].cpu())
        for one in net(list(images))
    ]
