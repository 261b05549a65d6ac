"""The detectors that can be trained, built from a few facts; one way to ask them all."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from classify.detection.average_precision import Found
from classify.detection.boxes.coders import Coder, EdgeCoder, RotatedCoder
from classify.detection.models.backbones import MEAN, STD, build_pyramid
from classify.detection.models.dense import (
    CHANNELS_A_GROUP,
    MOST_AN_IMAGE,
    NINE,
    ONE_SQUARE,
    DenseDetector,
    DenseHead,
)
from classify.detection.models.dense_losses import Criterion, GeneralizedFocal, RotatedFocal
from classify.detection.settings import BackboneName, DetectorName, RotatedLoss


class DetectorFacts(NamedTuple):
    """What a detector is built from, and rebuilt from its file."""

    detector: DetectorName
    backbone: BackboneName
    classes: tuple[str, ...]
    size: int  # long side at which images are seen, in pixels
    frozen_norm: bool = False  # whether the backbone's batch normalisation is fixed
    width: int = 256  # channels of pyramid and head
    box_loss: RotatedLoss = "gwd"  # of rotated boxes
    patch: int | None = None  # larger images are cut to this side, in pixels
    overlap: float = 0.0  # of neighbouring patches, a share of it

    @property
    def is_rotated(self) -> bool:
        """Whether it finds rotated boxes."""
        return self.detector == "rotated-retinanet"


def build_detector(facts: DetectorFacts, weights: str | None = None) -> nn.Module:
    """Build a detector.

    Its classes are 1, 2, ... in torchvision's way of counting for Faster R-CNN, whose 0 is the
    background; :func:`detect` and :func:`targets_for` translate.

    Args:
        facts: of the network.
        weights: of the backbone, as :func:`build_pyramid` takes them.

    Raises:
        UserError: for weights that cannot be had or do not fit.
    """
    is_dense = facts.detector != "faster-rcnn"
    pyramid = build_pyramid(facts.backbone, facts.width, is_dense, weights, facts.frozen_norm)
    if facts.detector in ("gfl", "rotated-retinanet"):
        return _dense_detector(facts, pyramid)
    seen = {"min_size": facts.size, "max_size": facts.size, "image_mean": MEAN, "image_std": STD}
    count = len(facts.classes)
    if is_dense:
        net = RetinaNet(pyramid, count, detections_per_img=MOST_AN_IMAGE, **seen)
        anchors = net.anchor_generator.num_anchors_per_location()[0]
        net.head = RetinaNetHead(facts.width, anchors, count, norm_layer=_group_norm)
        return net
    return FasterRCNN(pyramid, count + 1, box_detections_per_img=MOST_AN_IMAGE, **seen)


def _group_norm(width: int) -> nn.GroupNorm:
    """Between the convolutions of a head: without it those of a narrow one start all but silent."""
    return nn.GroupNorm(width // CHANNELS_A_GROUP, width)


def _dense_detector(facts: DetectorFacts, pyramid: nn.Module) -> DenseDetector:
    coder: Coder
    criterion: Criterion
    if facts.is_rotated:
        coder = RotatedCoder()
        criterion, shapes = RotatedFocal(coder, facts.box_loss), NINE
    else:
        coder = EdgeCoder()
        criterion, shapes = GeneralizedFocal(coder), ONE_SQUARE
    head = DenseHead(facts.width, shapes.of_place, len(facts.classes), coder.size, len(coder.bins))
    transform = GeneralizedRCNNTransform(facts.size, facts.size, list(MEAN), list(STD))
    return DenseDetector(pyramid, head, coder, criterion, shapes, transform)


def compute_in(net: nn.Module, precision: Callable[[], AbstractContextManager[Any]]) -> None:
    """Let the large layers of a detector run in a precision; boxes and losses stay float32.

    Args:
        net: from :func:`build_detector`.
        precision: gives a context, e.g. of autocasting, for each forward pass.
    """
    parts: list[Any] = [net.backbone, net.head] if hasattr(net, "head") else [net.backbone]
    if isinstance(net, FasterRCNN):
        parts += [net.rpn.head, net.roi_heads.box_head, net.roi_heads.box_predictor]
    for part in parts:
        part.forward = _within(part.forward, precision)
    # On CPUs the gradient of a strided convolution of a 1 x 1 map is NaN in bf16 (torch 2.15).
    smallest = parts[0].fpn.extra_blocks
    smallest.forward = _in_float32(smallest.forward)


def _within(
    forward: Callable[..., Any], precision: Callable[[], AbstractContextManager[Any]]
) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(*inputs: Any) -> Any:
        with precision():
            return _floats(forward(*inputs))

    return run


def _in_float32(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(*inputs: Any) -> Any:
        with torch.autocast(inputs[0][0].device.type, enabled=False):
            return forward(*_floats(inputs))

    return run


def _floats(values: Any) -> Any:
    """Tensors in nested mappings, lists and tuples, as float32."""
    if isinstance(values, Tensor):
        return values.float()
    if isinstance(values, str):
        return values
    if isinstance(values, dict):
        return type(values)((name, _floats(value)) for name, value in values.items())
    return type(values)(_floats(value) for value in values)


def targets_for(net: nn.Module, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return one image's labels as torchvision's detectors take them.

    Args:
        net: from :func:`build_detector`.
        boxes: [N, 4], or [N, 5] of rotated ones, in pixels of the image; N may be 0.
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
