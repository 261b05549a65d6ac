"""A dense detector: feature pyramid, head of two towers, anchors, decoding and suppression."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import batched_nms

from classify.detection.average_precision import Detections
from classify.detection.boxes.coders import ANCHOR_STRIDES, Coder, expected_value
from classify.detection.boxes.rotated import batched_rotated_nms
from classify.detection.models.batch_means import batch_means
from classify.detection.models.dense_losses import DenseCriterion, ImagePredictions, ImageTargets
from classify.detection.models.norms import group_norm

STRIDES = (4, 8, 16, 32, 64, 128)  # of pyramids, which begin with 4 or 8
TOWER_DEPTH = 4
PRIOR = 0.01  # initial score of every class
MIN_SCORE, MAX_PER_IMAGE = 0.05, 2000  # of detections
UPRIGHT_NMS_IOU, ROTATED_NMS_IOU = 0.6, 0.1


class AnchorShapes(NamedTuple):
    """The anchors of a location, and the strides between locations."""

    octaves: tuple[float, ...]  # side of a square anchor, in strides
    ratios: tuple[float, ...]  # height over width
    strides: tuple[int, ...] = STRIDES[1:]  # of the pyramid's maps

    @property
    def per_location(self) -> int:
        """Return the number of anchors of a location."""
        return len(self.octaves) * len(self.ratios)

    def generator(self) -> AnchorGenerator:
        """Return what places the anchors on images."""
        sizes = tuple(tuple(stride * one for one in self.octaves) for stride in self.strides)
        return AnchorGenerator(sizes, (self.ratios,) * len(self.strides))


ONE_SQUARE = AnchorShapes((float(ANCHOR_STRIDES),), (1.0,))
NINE_SHAPES = AnchorShapes(tuple(4.0 * 2 ** (k / 3) for k in range(3)), (0.5, 1.0, 2.0))


class BatchPredictions(NamedTuple):
    """Output of a dense detector for a batch."""

    class_logits: Tensor  # [B, A, C], float32
    box_logits: Tensor  # of the distributions of box parameters, [B, A, P, K], float32
    anchors: Tensor  # [A, 4] in pixels of ``images``
    levels: tuple[int, ...]  # number of anchors of each level
    maps: tuple[Tensor, ...]  # of the pyramid, [B, D, h, w] each
    images: ImageList  # input of the pyramid: scaled, normalised, padded

    def of_image(self, index: int) -> ImagePredictions:
        """Return the predictions of one image."""
        return ImagePredictions(
            self.class_logits[index], self.box_logits[index], self.anchors, self.levels
        )


class DenseHead(nn.Module):
    """Class logits and box distributions of every anchor.

    Args:
        channels: D of the pyramid's maps.
        anchors: of a location.
        classes: C.
        distribution: P parameters of a box, K bins of each.
        norm: whether there is group normalisation between the convolutions of the towers.
        scaled_levels: of the pyramid, each with a learned factor of its box logits, as in
            Generalized Focal Loss (Li et al. 2020, arXiv 2006.04388); 0 for none.
    """

    def __init__(
        self,
        channels: int,
        anchors: int,
        classes: int,
        distribution: tuple[int, int],
        norm: bool = True,
        scaled_levels: int = 0,
    ) -> None:
        super().__init__()
        parameters, bins = distribution
        self.classes, self.distribution = classes, distribution
        self.class_tower, self.shape_tower = _tower(channels, norm), _tower(channels, norm)
        self.score = nn.Conv2d(channels, anchors * classes, 3, padding=1)
        self.shape = nn.Conv2d(channels, anchors * parameters * bins, 3, padding=1)
        for layer, bias in ((self.score, -math.log((1 - PRIOR) / PRIOR)), (self.shape, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.full((layer.out_channels,), bias))
        self.scales = nn.ParameterList(torch.ones(()) for _ in range(scaled_levels))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Map [B, D, h, w] of each level to logits [B, A, C] and [B, A, P, K], float32."""
        classes = [_by_anchor(self.score(self.class_tower(x)), (self.classes,)) for x in maps]
        shapes = [self.shape(self.shape_tower(x)) for x in maps]
        if self.scales:
            shapes = [x * scale for x, scale in zip(shapes, self.scales, strict=True)]
        boxes = [_by_anchor(x, self.distribution) for x in shapes]
        return torch.cat(classes, dim=1), torch.cat(boxes, dim=1)


def _tower(channels: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(TOWER_DEPTH):
        convolution = nn.Conv2d(channels, channels, 3, padding=1, bias=not norm)
        nn.init.normal_(convolution.weight, std=0.01)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        between = group_norm(channels) if norm else nn.Identity()
        layers += [convolution, between, nn.ReLU()]
    return nn.Sequential(*layers)


def _by_anchor(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Map [B, anchors * prod(size), h, w] to [B, h * w * anchors, *size], in anchor order."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, *size).float()


class DenseDetector(nn.Module):
    """A detector that gives losses in training and detections else, as torchvision's do.

    Args:
        pyramid: images [B, 3, H, W] -> maps of the strides of ``shapes``.
        head: of all levels.
        coder: of boxes.
        criterion: of one image.
        shapes: of the anchors.
        transform: scales, normalises and pads.

    Attributes:
        average: of a tensor over all processes of a training; here there is one.
    """

    nms_candidates = 1000  # best scores of a level that are decoded

    def __init__(
        self,
        pyramid: nn.Module,
        head: DenseHead,
        coder: Coder,
        criterion: DenseCriterion,
        shapes: AnchorShapes,
        transform: GeneralizedRCNNTransform,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.transform = pyramid, head, transform
        self.average: Callable[[Tensor], Tensor] = _of_one_process
        self.processes = 1
        self.coder, self.criterion = coder, criterion
        self.anchors_per_location = shapes.per_location
        self.anchors = shapes.generator()

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses, or detections if no targets are given.

        Args:
            images: each [3, H, W] in [0, 1], any size.
            targets: ``boxes`` [G, 4 or 5] in pixels and ``labels`` [G] of each image.
        """
        predictions = self.predict(images)
        if targets is not None:
            return self.losses(predictions, self.scale_targets(predictions, images, targets))
        return self.detections(predictions, images)

    def predict(self, images: list[Tensor]) -> BatchPredictions:
        """Return the predictions for every anchor of images [3, H, W] in [0, 1]."""
        prepared, _ = self.transform(images, None)
        return self.predict_prepared(prepared)

    def predict_prepared(self, images: ImageList) -> BatchPredictions:
        """Return the same for prepared images, so that a teacher gets its student's input."""
        maps = tuple(self.backbone(images.tensors).values())
        class_logits, box_logits = self.head(maps)
        anchors = self.anchors(images, list(maps))[0]
        levels = tuple(x.shape[2] * x.shape[3] * self.anchors_per_location for x in maps)
        return BatchPredictions(class_logits, box_logits, anchors, levels, maps, images)

    def scale_targets(
        self,
        predictions: BatchPredictions,
        images: list[Tensor],
        targets: list[dict[str, Tensor]],
    ) -> list[ImageTargets]:
        """Return the targets of each image in pixels of the prepared images."""
        factors = scale_factors(predictions, images)
        return [
            ImageTargets(scale_boxes(target["boxes"], factor), target["labels"])
            for target, factor in zip(targets, factors, strict=True)
        ]

    def losses(
        self, predictions: BatchPredictions, targets: list[ImageTargets]
    ) -> dict[str, Tensor]:
        """Return each loss of the criterion as a mean over the objects of the batch."""
        each = [self.criterion(predictions.of_image(k), one) for k, one in enumerate(targets)]
        return batch_means(each, self.average, self.processes)

    def detections(
        self, predictions: BatchPredictions, images: list[Tensor]
    ) -> list[dict[str, Tensor]]:
        """Return boxes [N, 4 or 5] in pixels of the images, labels from 0 and sorted scores."""
        result = []
        for index, factor in enumerate(scale_factors(predictions, images)):
            found = self._decode(predictions.of_image(index))
            boxes = scale_boxes(found.boxes, (1 / factor[0], 1 / factor[1]))
            result.append({"boxes": boxes, "labels": found.labels, "scores": found.scores})
        return result

    def _decode(self, predictions: ImagePredictions) -> Detections:
        """Decode the best scores of each level and suppress duplicates."""
        parts, classes = [], predictions.class_logits.shape[1]
        for start, stop in pairwise((0, *torch.tensor(predictions.levels).cumsum(0).tolist())):
            scores = predictions.class_logits[start:stop].sigmoid().flatten()
            best, index = scores.topk(min(self.nms_candidates, len(scores)))
            index = index[best > MIN_SCORE]
            rows, labels = start + index // classes, index % classes
            values = expected_value(predictions.box_logits[rows], self.coder.bins)
            boxes = self.coder.decode(values, predictions.anchors[rows])
            parts.append((boxes, labels, best[best > MIN_SCORE]))
        boxes, labels, scores = (torch.cat(column) for column in zip(*parts, strict=True))
        if boxes.shape[1] == 5:
            kept = batched_rotated_nms(boxes, scores, labels, ROTATED_NMS_IOU)
        else:
            kept = batched_nms(boxes, scores, labels, UPRIGHT_NMS_IOU)
        kept = kept[:MAX_PER_IMAGE]
        return Detections(boxes[kept], labels[kept], scores[kept])


def _of_one_process(values: Tensor) -> Tensor:
    return values


def scale_factors(predictions: BatchPredictions, images: list[Tensor]) -> list[tuple[float, float]]:
    """Return the factors of width and height from each image to the network's input."""
    return [
        (width / image.shape[2], height / image.shape[1])
        for image, (height, width) in zip(images, predictions.images.image_sizes, strict=True)
    ]


def scale_boxes(boxes: Tensor, factor: tuple[float, float]) -> Tensor:
    """Scale boxes; a rotated one keeps its angle, both factors being equal but for rounding."""
    if boxes.shape[1] == 4:
        return boxes * boxes.new_tensor([*factor, *factor])
    side = math.sqrt(factor[0] * factor[1])
    return boxes * boxes.new_tensor([*factor, side, side, 1.0])
