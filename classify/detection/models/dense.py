"""A dense detector: pyramid, two towers over each of its levels, anchors, and what follows."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import batched_nms

from classify.detection.average_precision import Found
from classify.detection.boxes.coders import ANCHOR_STRIDES, Coder, expected
from classify.detection.boxes.rotated import batched_rotated_nms
from classify.detection.models.dense_losses import Criterion, Labelled, Said

STRIDES = (8, 16, 32, 64, 128)
CONVOLUTIONS, CHANNELS_A_GROUP = 4, 8
PRIOR = 0.01  # score at the beginning
LEAST_SCORE, MOST_A_LEVEL, MOST_AN_IMAGE = 0.05, 1000, 2000
UPRIGHT_NMS, ROTATED_NMS = 0.6, 0.1


class AnchorShapes(NamedTuple):
    """The anchors of a place."""

    octaves: tuple[float, ...]  # of ANCHOR_STRIDES strides, or of a part of it
    ratios: tuple[float, ...]  # height over width

    @property
    def of_place(self) -> int:
        """How many there are of a place."""
        return len(self.octaves) * len(self.ratios)


ONE_SQUARE = AnchorShapes((float(ANCHOR_STRIDES),), (1.0,))
NINE = AnchorShapes(tuple(4.0 * 2 ** (k / 3) for k in range(3)), (0.5, 1.0, 2.0))


class Seen(NamedTuple):
    """What a dense detector says of a batch."""

    scores: Tensor  # logits [B, A, C], float32
    shapes: Tensor  # logits [B, A, P, K], float32
    anchors: Tensor  # [A, 4] in pixels of ``images``
    levels: tuple[int, ...]  # anchors of each level
    maps: tuple[Tensor, ...]  # of the pyramid, [B, D, h, w] each
    images: ImageList  # what the pyramid was given: scaled, normalised, padded

    def one(self, number: int) -> Said:
        """What is said of one image."""
        return Said(self.scores[number], self.shapes[number], self.anchors, self.levels)


class DenseHead(nn.Module):
    """Scores and box distributions of every anchor.

    Differs from Generalized Focal Loss: no learned scale for each level.

    Args:
        width: D of the pyramid's maps.
        anchors: of a place.
        classes: C.
        parameters: P of a box.
        bins: K of a parameter.
    """

    def __init__(self, width: int, anchors: int, classes: int, parameters: int, bins: int) -> None:
        super().__init__()
        self.classes, self.size = classes, (parameters, bins)
        self.class_tower, self.shape_tower = _tower(width), _tower(width)
        self.score = nn.Conv2d(width, anchors * classes, 3, padding=1)
        self.shape = nn.Conv2d(width, anchors * parameters * bins, 3, padding=1)
        for layer, bias in ((self.score, -math.log((1 - PRIOR) / PRIOR)), (self.shape, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.full((layer.out_channels,), bias))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps [B, D, h, w] -> logits [B, A, C] and [B, A, P, K], level by level, float32."""
        scores = [_by_anchor(self.score(self.class_tower(x)), (self.classes,)) for x in maps]
        shapes = [_by_anchor(self.shape(self.shape_tower(x)), self.size) for x in maps]
        return torch.cat(scores, dim=1), torch.cat(shapes, dim=1)


def _tower(width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(CONVOLUTIONS):
        convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        nn.init.normal_(convolution.weight, std=0.01)
        layers += [convolution, nn.GroupNorm(width // CHANNELS_A_GROUP, width), nn.ReLU()]
    return nn.Sequential(*layers)


def _by_anchor(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """[B, anchors * prod(size), h, w] -> [B, h * w * anchors, *size], as anchors are counted."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, *size).float()


class DenseDetector(nn.Module):
    """Looks at images; gives losses in training and detections else, as torchvision's do.

    Args:
        pyramid: images [B, 3, H, W] -> maps of STRIDES.
        head: of all levels.
        coder: of boxes.
        criterion: of one image.
        shapes: of the anchors.
        transform: scales, normalises and pads.
    """

    def __init__(
        self,
        pyramid: nn.Module,
        head: DenseHead,
        coder: Coder,
        criterion: Criterion,
        shapes: AnchorShapes,
        transform: GeneralizedRCNNTransform,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.transform = pyramid, head, transform
        self.coder, self.criterion = coder, criterion
        sizes = tuple(tuple(stride * octave for octave in shapes.octaves) for stride in STRIDES)
        self.anchors_of_place = shapes.of_place
        self.anchors = AnchorGenerator(sizes, (shapes.ratios,) * len(STRIDES))

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Images [3, H, W] in [0, 1], any sizes, with boxes and labels -> losses, or detections."""
        seen = self.look(images)
        if targets is not None:
            return self.losses(seen, self.scaled(seen, images, targets))
        return self.detections(seen, images)

    def look(self, images: list[Tensor]) -> Seen:
        """Say something of every anchor of images [3, H, W] in [0, 1]."""
        prepared, _ = self.transform(images, None)
        return self.look_at(prepared)

    def look_at(self, images: ImageList) -> Seen:
        """The same of images that are prepared: a teacher sees what its student sees."""
        maps = tuple(self.backbone(images.tensors).values())
        scores, shapes = self.head(maps)
        anchors = self.anchors(images, list(maps))[0]
        levels = tuple(x.shape[2] * x.shape[3] * self.anchors_of_place for x in maps)
        return Seen(scores, shapes, anchors, levels, maps, images)

    def scaled(
        self, seen: Seen, images: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> list[Labelled]:
        """Labels in pixels of the prepared images."""
        factors = _factors(seen, images)
        return [
            Labelled(_times(target["boxes"], factor), target["labels"])
            for target, factor in zip(targets, factors, strict=True)
        ]

    def losses(self, seen: Seen, targets: list[Labelled]) -> dict[str, Tensor]:
        """Means over the images of the criterion's terms."""
        each = [self.criterion(seen.one(k), target) for k, target in enumerate(targets)]
        return {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}

    def detections(self, seen: Seen, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Boxes [N, 4 or 5] in pixels of the images, labels from 0 and scores, best first."""
        result = []
        for number, factor in enumerate(_factors(seen, images)):
            found = self._found(seen.one(number))
            boxes = _times(found.boxes, (1 / factor[0], 1 / factor[1]))
            result.append({"boxes": boxes, "labels": found.labels, "scores": found.scores})
        return result

    def _found(self, said: Said) -> Found:
        parts = []
        for start, stop in pairwise((0, *torch.tensor(said.levels).cumsum(0).tolist())):
            scores = said.scores[start:stop].sigmoid().flatten()
            best, places = scores.topk(min(MOST_A_LEVEL, len(scores)))
            places = places[best > LEAST_SCORE]
            rows, labels = start + places // said.scores.shape[1], places % said.scores.shape[1]
            values = expected(said.shapes[rows], self.coder.bins)
            boxes = self.coder.decode(values, said.anchors[rows])
            parts.append((boxes, labels, best[best > LEAST_SCORE]))
        boxes, labels, scores = (torch.cat(column) for column in zip(*parts, strict=True))
        if boxes.shape[1] == 5:
            kept = batched_rotated_nms(boxes, scores, labels, ROTATED_NMS)
        else:
            kept = batched_nms(boxes, scores, labels, UPRIGHT_NMS)
        kept = kept[:MOST_AN_IMAGE]
        return Found(boxes[kept], labels[kept], scores[kept])


def _factors(seen: Seen, images: list[Tensor]) -> list[tuple[float, float]]:
    """How much wider and higher each image is for the network."""
    return [
        (width / image.shape[2], height / image.shape[1])
        for image, (height, width) in zip(images, seen.images.image_sizes, strict=True)
    ]


def _times(boxes: Tensor, factor: tuple[float, float]) -> Tensor:
    """Scale boxes; a rotated one keeps its angle, both factors being equal but for rounding."""
    if boxes.shape[1] == 4:
        return boxes * boxes.new_tensor([*factor, *factor])
    side = math.sqrt(factor[0] * factor[1])
    return boxes * boxes.new_tensor([*factor, side, side, 1.0])
