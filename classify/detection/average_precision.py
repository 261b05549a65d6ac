"""Average precision of detections by the three rules in use, upright or rotated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from classify.detection.boxes.rotated import rotated_iou

Rule = Literal["voc07", "voc12", "coco"]
Floats = NDArray[np.float64]
MOST_OF_COCO = 100  # detections an image that count by the COCO rule
THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))


@dataclass(frozen=True)
class Truth:
    """Labelled objects of one image."""

    boxes: Tensor  # [N, 4] corners, or [N, 5] rotated
    labels: Tensor  # [N]
    difficult: Tensor  # [N], bool; crowds are difficult too
    crowd: Tensor  # [N], bool: many objects under one box


@dataclass(frozen=True)
class Found:
    """Detections of one image."""

    boxes: Tensor  # [M, 4] or [M, 5]
    labels: Tensor  # [M]
    scores: Tensor  # [M]


@dataclass(frozen=True)
class Judged:
    """The detections of a class in all images, best first."""

    hit: Floats  # 1 where a labelled object was found, [M]
    objects: int  # to be found


def average_precision(
    truths: Sequence[Truth],
    found: Sequence[Found],
    num_classes: int,
    rule: Rule,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Floats:
    """Average precision of each class at each threshold.

    voc07: mean precision at 11 recalls (Everingham et al. 2010, section 4.2); voc12: area under the
    precision made monotone; both match each detection with the object it overlaps most, and leave
    out difficult objects and what was found of them. coco: mean precision at 101 recalls, each
    detection matched with the best object that is free, at most 100 detections an image; difficult
    objects are ignored likewise, a crowd where most of the detection lies in it.

    Args:
        truths: what is there, an entry an image.
        found: what was found, in the same order.
        num_classes: C.
        rule: of the three.
        thresholds: least IoU of a match, T of them.

    Returns:
        [C, T] in [0, 1]; NaN for a class without objects.

    Raises:
        ValueError: for lists of different lengths.
    """
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} images with labels but {len(found)} with detections")
    table = np.full((num_classes, len(thresholds)), np.nan)
    for label in range(num_classes):
        each = zip(truths, found, strict=True)
        pairs = [_of_class(*pair, label, with_crowds=rule == "coco") for pair in each]
        for column, threshold in enumerate(thresholds):
            judged = _judged(pairs, threshold, rule)
            if judged.objects:
                table[label, column] = _curve_mean(judged, rule)
    return table


@dataclass(frozen=True)
class _Pair:
    """One class in one image."""

    overlaps: Floats  # [M, N]
    scores: Floats  # [M], falling
    difficult: NDArray[np.bool_]  # [N]


def _of_class(truth: Truth, found: Found, label: int, with_crowds: bool) -> _Pair:
    mine, there = found.labels == label, truth.labels == label
    order = found.scores[mine].argsort(descending=True, stable=True)
    boxes, objects = found.boxes[mine][order], truth.boxes[there]
    iou = rotated_iou if truth.boxes.shape[1] == 5 else box_iou
    overlaps = iou(boxes.double(), objects.double())
    if with_crowds:
        crowd = truth.crowd[there]
        overlaps[:, crowd] = _share_inside(overlaps, boxes.double(), objects.double())[:, crowd]
    scores = found.scores[mine][order].double().cpu().numpy()
    return _Pair(overlaps.cpu().numpy(), scores, truth.difficult[there].cpu().numpy())


def _share_inside(iou: Tensor, boxes: Tensor, objects: Tensor) -> Tensor:
    """How much of each box [M, 4 or 5] each object [N, ...] covers, from their IoU [M, N]."""
    areas, others = _areas(boxes)[:, None], _areas(objects)
    return iou * (areas + others) / (1 + iou) / areas.clamp(min=1e-9)


def _areas(boxes: Tensor) -> Tensor:
    sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
    return sides.prod(dim=1)


def _judged(pairs: Sequence[_Pair], threshold: float, rule: Rule) -> Judged:
    match: Callable[[_Pair, float], Floats] = _match_coco if rule == "coco" else _match_voc
    hits = [match(pair, threshold) for pair in pairs]
    scores = np.concatenate(
        [pair.scores[: len(hit)] for pair, hit in zip(pairs, hits, strict=True)]
    )
    hit = np.concatenate(hits)[np.argsort(-scores, kind="stable")]
    objects = sum(int((~pair.difficult).sum()) for pair in pairs)
    return Judged(hit[~np.isnan(hit)], objects)


def _match_voc(pair: _Pair, threshold: float) -> Floats:
    """1 for a hit, 0 for a false one, NaN for one that does not count: [M]."""
    hit, taken = np.zeros(len(pair.scores)), np.zeros(len(pair.difficult), bool)
    if not len(pair.difficult):
        return hit
    for row, overlaps in enumerate(pair.overlaps):
        best = int(overlaps.argmax())
        if overlaps[best] < threshold:
            continue
        if pair.difficult[best]:
            hit[row] = np.nan
        elif not taken[best]:
            hit[row], taken[best] = 1, True
    return hit


def _match_coco(pair: _Pair, threshold: float) -> Floats:
    """As `_match_voc`, but an object that is taken leaves room for the next best: [min(M, 100)]."""
    count = min(len(pair.scores), MOST_OF_COCO)
    hit, taken = np.zeros(count), np.zeros(len(pair.difficult), bool)
    for row in range(count):
        free = np.where(taken, -1.0, pair.overlaps[row])
        for group, result in ((~pair.difficult, 1.0), (pair.difficult, np.nan)):
            among = np.where(group, free, -1.0)
            if len(among) and among.max() >= min(threshold, 1 - 1e-10):
                # Of equals COCO's own code takes the last.
                best = len(among) - 1 - int(among[::-1].argmax())
                hit[row], taken[best] = result, bool(group[best] and result == 1.0)
                break
    return hit


def _curve_mean(judged: Judged, rule: Rule) -> float:
    right, wrong = judged.hit.cumsum(), (1 - judged.hit).cumsum()
    recall = right / judged.objects
    precision = right / np.maximum(right + wrong, np.finfo(np.float64).eps)
    if rule == "voc07":
        points = np.linspace(0, 1, 11)
        return float(np.mean([precision[recall >= point].max(initial=0) for point in points]))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if rule == "voc12":
        return float((np.diff(recall, prepend=0) * envelope).sum())
    place = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(envelope, 0.0)[place].mean())
