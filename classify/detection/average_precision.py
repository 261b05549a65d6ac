"""Average precision of upright or rotated detections by the VOC 2007, VOC 2012 and COCO rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from classify.detection.boxes.polygons import polygon_area, polygon_iou
from classify.detection.boxes.rotated import rotated_iou

Rule = Literal["voc07", "voc12", "coco"]
Floats = NDArray[np.float64]
COCO_MAX_DETECTIONS = 100  # of an image, that the COCO rule counts
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))


@dataclass(frozen=True)
class GroundTruth:
    """Annotated objects of one image."""

    boxes: Tensor  # [N, 4] left, top, right, bottom, or [N, 5] rotated, in pixels
    labels: Tensor  # [N]
    difficult: Tensor  # [N], bool; crowds are difficult too
    crowd: Tensor  # [N], bool: many objects under one box
    polygons: Tensor | None = None  # [N, 4, 2]: rotated detections are judged against these


@dataclass(frozen=True)
class Detections:
    """Detected objects of one image."""

    boxes: Tensor  # [M, 4] left, top, right, bottom, or [M, 5] rotated, in pixels
    labels: Tensor  # [M], 0 for the first class
    scores: Tensor  # [M] in [0, 1]

    def with_score(self, least: float) -> "Detections":
        """Return those with a score of ``least`` or more."""
        kept = self.scores >= least
        return Detections(self.boxes[kept], self.labels[kept], self.scores[kept])


def average_precision(
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    num_classes: int,
    rule: Rule,
    thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> Floats:
    """Return the average precision of each class at each IoU threshold.

    voc07: mean precision at 11 recalls (Everingham et al. 2010, section 4.2); voc12: area under the
    monotone precision envelope; both match each detection with the object it overlaps most, and
    ignore difficult objects and their detections. coco: mean precision at 101 recalls, each
    detection matched with the best unmatched object, at most 100 detections an image; difficult
    objects are ignored likewise, and a crowd matches by the share of the detection inside it.

    Args:
        ground_truths: an entry an image.
        detections: an entry an image, in the same order.
        num_classes: C.
        rule: voc07, voc12 or coco.
        thresholds: lowest IoU of a match, T of them.

    Returns:
        [C, T] in [0, 1]; NaN for a class without objects.

    Raises:
        ValueError: for lists of different lengths.
    """
    if len(ground_truths) != len(detections):
        raise ValueError(
            f"{len(ground_truths)} images with labels but {len(detections)} with detections"
        )
    table = np.full((num_classes, len(thresholds)), np.nan)
    for label in range(num_classes):
        each = class_matches(ground_truths, detections, label, rule, thresholds)
        for column, matches in enumerate(each):
            if matches.num_objects:
                table[label, column] = _curve_mean(matches, rule)
    return table


@dataclass(frozen=True)
class Matches:
    """The counted detections of a class in all images, by descending score."""

    is_true_positive: Floats  # [M], 1 or 0
    scores: Floats  # [M]
    num_objects: int  # that are not difficult


def class_matches(
    ground_truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    label: int,
    rule: Rule,
    thresholds: Sequence[float] = IOU_THRESHOLDS,
) -> list[Matches]:
    """Match the detections of one class with its objects, at each IoU threshold.

    Args:
        ground_truths: an entry an image.
        detections: an entry an image, in the same order.
        label: of the class.
        rule: of matching; see :func:`average_precision`.
        thresholds: lowest IoU of a match.
    """
    images = zip(ground_truths, detections, strict=True)
    pairs = [_of_class(*pair, label, with_crowds=rule == "coco") for pair in images]
    return [_match_all(pairs, threshold, rule) for threshold in thresholds]


def precision_and_recall(matches: Matches) -> tuple[Floats, Floats]:
    """Return precision [M] and recall [M] of the best 1, 2, ..., M detections of a class."""
    true, false = matches.is_true_positive.cumsum(), (1 - matches.is_true_positive).cumsum()
    precision = true / np.maximum(true + false, np.finfo(np.float64).eps)
    return precision, true / matches.num_objects


def object_overlaps(boxes: Tensor, ground_truth: GroundTruth, with_crowds: bool) -> Floats:
    """Return the IoU of boxes with the objects of an image, whatever their classes.

    Args:
        boxes: [M, 4 or 5].
        ground_truth: N objects; where they have polygons, boxes are judged against these.
        with_crowds: whether of a crowd it is the share of the box inside it, as COCO has it.

    Returns:
        [M, N], float64.
    """
    outlines = ground_truth.boxes if ground_truth.polygons is None else ground_truth.polygons
    boxes, objects = boxes.double(), outlines.double()
    overlaps, crowd = _overlaps(boxes, objects), ground_truth.crowd
    if with_crowds:
        overlaps[:, crowd] = _share_inside(overlaps, boxes, objects)[:, crowd]
    return overlaps.cpu().numpy()


@dataclass(frozen=True)
class _Pair:
    """Detections and objects of one class in one image."""

    overlaps: Floats  # [M, N]
    scores: Floats  # [M], descending
    difficult: NDArray[np.bool_]  # [N]


def _of_class(
    ground_truth: GroundTruth, detections: Detections, label: int, with_crowds: bool
) -> _Pair:
    detected, objects = detections.labels == label, _only(ground_truth, label)
    order = detections.scores[detected].argsort(descending=True, stable=True)
    overlaps = object_overlaps(detections.boxes[detected][order], objects, with_crowds)
    scores = detections.scores[detected][order].double().cpu().numpy()
    return _Pair(overlaps, scores, objects.difficult.cpu().numpy())


def _only(ground_truth: GroundTruth, label: int) -> GroundTruth:
    """Return the objects of one class."""
    rows = ground_truth.labels == label
    polygons = None if ground_truth.polygons is None else ground_truth.polygons[rows]
    boxes, labels = ground_truth.boxes[rows], ground_truth.labels[rows]
    return GroundTruth(
        boxes, labels, ground_truth.difficult[rows], ground_truth.crowd[rows], polygons
    )


def _overlaps(boxes: Tensor, objects: Tensor) -> Tensor:
    """Return the IoU [M, N] of boxes [M, 4 or 5] with objects: boxes, or polygons [N, 4, 2]."""
    if objects.dim() == 3:
        return polygon_iou(boxes, objects)
    return (rotated_iou if boxes.shape[1] == 5 else box_iou)(boxes, objects)


def _share_inside(iou: Tensor, boxes: Tensor, objects: Tensor) -> Tensor:
    """Return which share of each box [M, 4 or 5] each object [N, ...] covers, from their IoU."""
    areas, others = _areas(boxes)[:, None], _areas(objects)
    return iou * (areas + others) / (1 + iou) / areas.clamp(min=1e-9)


def _areas(boxes: Tensor) -> Tensor:
    if boxes.dim() == 3:
        return polygon_area(boxes)
    sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
    return sides.prod(dim=1)


def _match_all(pairs: Sequence[_Pair], threshold: float, rule: Rule) -> Matches:
    match: Callable[[_Pair, float], Floats] = _match_coco if rule == "coco" else _match_voc
    matches = [match(pair, threshold) for pair in pairs]
    scores = np.concatenate(
        [pair.scores[: len(one)] for pair, one in zip(pairs, matches, strict=True)]
    )
    order = np.argsort(-scores, kind="stable")
    ranked, scores = np.concatenate(matches)[order], scores[order]
    num_objects = sum(int((~pair.difficult).sum()) for pair in pairs)
    counted = ~np.isnan(ranked)
    return Matches(ranked[counted], scores[counted], num_objects)


def _match_voc(pair: _Pair, threshold: float) -> Floats:
    """Return 1 for a true positive, 0 for a false one, NaN for an ignored detection: [M]."""
    matches, matched = np.zeros(len(pair.scores)), np.zeros(len(pair.difficult), bool)
    if not len(pair.difficult):
        return matches
    for row, overlaps in enumerate(pair.overlaps):
        best = int(overlaps.argmax())
        if overlaps[best] < threshold:
            continue
        if pair.difficult[best]:
            matches[row] = np.nan
        elif not matched[best]:
            matches[row], matched[best] = 1, True
    return matches


def _match_coco(pair: _Pair, threshold: float) -> Floats:
    """Return the same as `_match_voc`, matching the best unmatched object: [min(M, 100)]."""
    count = min(len(pair.scores), COCO_MAX_DETECTIONS)
    matches, matched = np.zeros(count), np.zeros(len(pair.difficult), bool)
    for row in range(count):
        unmatched = np.where(matched, -1.0, pair.overlaps[row])
        for group, result in ((~pair.difficult, 1.0), (pair.difficult, np.nan)):
            among = np.where(group, unmatched, -1.0)
            if len(among) and among.max() >= min(threshold, 1 - 1e-10):
                # Of equal overlaps COCO's own code takes the last.
                best = len(among) - 1 - int(among[::-1].argmax())
                matches[row], matched[best] = result, bool(group[best] and result == 1.0)
                break
    return matches


def _curve_mean(matches: Matches, rule: Rule) -> float:
    """Return the mean of the precision-recall curve by the rule's interpolation."""
    precision, recall = precision_and_recall(matches)
    if rule == "voc07":
        points = np.linspace(0, 1, 11)
        return float(np.mean([precision[recall >= point].max(initial=0) for point in points]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if rule == "voc12":
        return float((np.diff(recall, prepend=0) * envelope).sum())
    index = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[index].mean())
