"""The detectors that can be trained, built from a specification, with one way to run them all."""

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead

from classify.detection.average_precision import Detections
from classify.detection.boxes.coders import Coder, EdgeCoder, RotatedCoder
from classify.detection.models.backbones import PyramidForm, build_pyramid
from classify.detection.models.dense import (
    MAX_PER_IMAGE,
    NINE_SHAPES,
    ONE_SQUARE,
    STRIDES,
    AnchorShapes,
    DenseDetector,
    DenseHead,
)
from classify.detection.models.dense_losses import (
    DenseCriterion,
    GeneralizedFocalCriterion,
    RotatedCriterion,
)
from classify.detection.models.norms import group_norm
from classify.detection.models.scaling import input_scaling
from classify.detection.settings.head import (
    DENSE,
    NMS_CANDIDATES,
    DetectorName,
    FinestStride,
    FpnChannels,
    NmsCandidates,
    Norm,
    RotatedLoss,
)
from tgn.models.settings import FROM_SCRATCH, ArchName
from tgn.runtime.bounds import ShareBelowOne, Side

KEYS_IN_FILES = {"fpn_channels": "width", "tile_size": "patch", "tile_overlap": "overlap"}
TOWERS = ("class_tower", "shape_tower", "classification_head.conv", "regression_head.conv")
FIRST_LATER = "nms_candidates"  # files of older versions lack this key and those behind it


class DetectorSpec(NamedTuple):
    """What a detector is built from, and rebuilt from its file."""

    detector: DetectorName
    backbone: ArchName
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    size: Side  # images are scaled to this long side, or full tiles to this side, in pixels
    frozen_norm: bool = False  # whether the backbone's batch normalisation is fixed
    fpn_channels: FpnChannels = 256  # channels of the feature pyramid and the head
    box_loss: RotatedLoss = "gwd"  # of rotated boxes
    tile_size: Side | None = None  # larger images are cut into tiles of this side, in pixels
    tile_overlap: ShareBelowOne = 0.0  # of neighbouring tiles, a share of their side
    nms_candidates: NmsCandidates | None = None  # of a level; None: as published
    head_norm: Norm = "group"  # between the convolutions of a one-stage head
    short_side: Side | None = None  # whole images are scaled to it, ``size`` then bounds the long
    finest_stride: FinestStride = 8  # of a one-stage detector's pyramid; Faster R-CNN has 4
    fpn_norm: Norm = "none"  # after each convolution of the pyramid
    level_scales: bool = False  # whether each level's box logits have a learned factor

    @property
    def is_rotated(self) -> bool:
        """Return whether the detector finds rotated boxes."""
        return self.detector == "rotated-retinanet"

    def to_record(self) -> dict[str, Any]:
        """Return the values as files hold them; see :data:`KEYS_IN_FILES`."""
        values = {KEYS_IN_FILES.get(name, name): value for name, value in self._asdict().items()}
        for name in self._fields[self._fields.index(FIRST_LATER) :]:
            if values[name] == self._field_defaults[name]:
                del values[name]
        return {**values, "classes": list(self.classes)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "DetectorSpec":
        """Return what :meth:`to_record` wrote.

        Raises:
            ValueError: if values are missing, unknown, of another type or out of range.
        """
        names = {key: name for name, key in KEYS_IN_FILES.items()}
        values = {names.get(key, key): value for key, value in dict(record).items()}
        return TypeAdapter(cls).validate_python(values)


def build_detector(spec: DetectorSpec, backbone_weights: str = FROM_SCRATCH) -> nn.Module:
    """Build a detector.

    Faster R-CNN counts its classes from 1, 0 being the background; :func:`detect` and
    :func:`make_targets` convert.

    Args:
        spec: of the network.
        backbone_weights: as :func:`build_pyramid` takes them.

    Raises:
        UserError: for weights that are not available or do not fit.
    """
    is_one_stage = spec.detector != "faster-rcnn"
    form = PyramidForm(
        spec.fpn_channels,
        is_dense=is_one_stage,
        finest=spec.finest_stride if is_one_stage else STRIDES[0],
        norm=spec.fpn_norm == "group",
    )
    pyramid = build_pyramid(spec.backbone, form, backbone_weights, spec.frozen_norm)
    if spec.detector in DENSE:
        return _dense_detector(spec, pyramid)
    count, candidates = len(spec.classes), _candidates(spec)
    net: Any
    if is_one_stage:
        shapes = _from_stride(NINE_SHAPES, spec) if spec.finest_stride != 8 else None
        net = RetinaNet(
            pyramid,
            count,
            anchor_generator=shapes and shapes.generator(),  # None: torchvision's, rounded
            detections_per_img=MAX_PER_IMAGE,
            topk_candidates=candidates,
        )
        anchors = net.anchor_generator.num_anchors_per_location()[0]
        norm = group_norm if spec.head_norm == "group" else None
        net.head = RetinaNetHead(spec.fpn_channels, anchors, count, norm_layer=norm)
    else:
        net = FasterRCNN(
            pyramid,
            count + 1,
            box_detections_per_img=MAX_PER_IMAGE,
            rpn_pre_nms_top_n_train=2 * candidates,
            rpn_pre_nms_top_n_test=candidates,
        )
    net.transform = input_scaling(spec.size, spec.tile_size, spec.short_side)
    return net


def _candidates(spec: DetectorSpec) -> int:
    return spec.nms_candidates or NMS_CANDIDATES[spec.detector]


def _from_stride(shapes: AnchorShapes, spec: DetectorSpec) -> AnchorShapes:
    return shapes._replace(strides=STRIDES[STRIDES.index(spec.finest_stride) :])


def _dense_detector(spec: DetectorSpec, pyramid: nn.Module) -> DenseDetector:
    coder: Coder
    criterion: DenseCriterion
    if spec.is_rotated:
        coder = RotatedCoder()
        criterion, shapes = RotatedCriterion(coder, spec.box_loss), NINE_SHAPES
    else:
        coder = EdgeCoder()
        criterion, shapes = GeneralizedFocalCriterion(coder), ONE_SQUARE
    shapes = _from_stride(shapes, spec)
    head = DenseHead(
        spec.fpn_channels,
        shapes.per_location,
        len(spec.classes),
        (coder.num_parameters, len(coder.bins)),
        norm=spec.head_norm == "group",
        scaled_levels=len(shapes.strides) if spec.level_scales else 0,
    )
    transform = input_scaling(spec.size, spec.tile_size, spec.short_side)
    net = DenseDetector(pyramid, head, coder, criterion, shapes, transform)
    net.nms_candidates = _candidates(spec)
    return net


def initialise_towers(net: Any) -> None:
    """Draw the weights of a one-stage head's towers with a variance of two over their inputs.

    The published standard deviation of 0.01 suits SGD at 0.01; AdamW changes each weight by about
    its rate in a step, which is a twentieth of it. Source: He et al. 2015 (arXiv 1502.01852),
    equation 10.

    Args:
        net: from :func:`build_detector`; without such a head it stays as it is.
    """
    for name, layer in getattr(net, "head", nn.Identity()).named_modules():
        if isinstance(layer, nn.Conv2d) and name.startswith(TOWERS):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


def set_precision(net: nn.Module, precision: Callable[[], AbstractContextManager[Any]]) -> None:
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
            return _to_float32(forward(*inputs))

    return run


def _in_float32(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(*inputs: Any) -> Any:
        with torch.autocast(inputs[0][0].device.type, enabled=False):
            return forward(*_to_float32(inputs))

    return run


def _to_float32(values: Any) -> Any:
    """Convert the tensors in nested mappings, lists and tuples."""
    if isinstance(values, Tensor):
        return values.float()
    if isinstance(values, str):
        return values
    if isinstance(values, dict):
        return type(values)((name, _to_float32(value)) for name, value in values.items())
    return type(values)(_to_float32(value) for value in values)


def make_targets(net: nn.Module, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return one image's objects as torchvision's detectors take them.

    Args:
        net: from :func:`build_detector`.
        boxes: [N, 4], or [N, 5] of rotated ones, in pixels of the image; N may be 0.
        labels: [N], 0 for the first class.
    """
    return {"boxes": boxes.float(), "labels": labels + int(isinstance(net, FasterRCNN))}


@torch.inference_mode()
def detect(net: nn.Module, images: Sequence[Tensor]) -> list[Detections]:
    """Detect objects; the network must be in eval mode.

    Args:
        net: from :func:`build_detector`.
        images: each [3, H, W] in [0, 1], any size.

    Returns:
        The detections of each image, in its pixels, labels from 0, on the CPU.
    """
    shift = int(isinstance(net, FasterRCNN))
    return [
        Detections(one["boxes"].cpu(), one["labels"].cpu() - shift, one["scores"].cpu())
        for one in net(list(images))
    ]
