"""Detection on a data set, and its average precision."""

from typing import Any

import numpy as np
from torch import nn

from classify.detection.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    GroundTruth,
    Rule,
    average_precision,
)
from classify.detection.data.dataset import DetectionDataset, tiles_of
from classify.detection.evaluation.analysis.by_class import class_rows
from classify.detection.evaluation.inference import detect_images
from classify.detection.models.build import DetectorSpec
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress

RULES: tuple[Rule, ...] = ("voc07", "voc12", "coco")


def evaluate_detector(
    net: nn.Module,
    spec: DetectorSpec,
    data: DetectionDataset,
    device: Device,
    progress: Progress,
) -> dict[str, Any]:
    """Detect on a data set and return :func:`evaluate_detections` of the result."""
    return evaluate_detections(data, detect_dataset(net, spec, data, device, progress))


def evaluate_detections(data: DetectionDataset, detections: list[Detections]) -> dict[str, Any]:
    """Return the average precision by all rules: means over classes, and of each class.

    Args:
        data: images with annotations.
        detections: of each image, in the order of ``data``.

    Returns:
        ``images`` (their number), ``classes``, ``by_class`` as :func:`class_rows` has it, and of
        each rule ``ap`` (mean over IoU 0.50 to 0.95), ``ap50`` ... ``ap95`` and ``per_class`` (name
        -> ap), in [0, 1]; None without objects.
    """
    truths = ground_truths(data)
    result: dict[str, Any] = {"images": len(truths), "classes": list(data.classes)}
    tables = {
        rule: average_precision(truths, detections, len(data.classes), rule) for rule in RULES
    }
    result["by_class"] = class_rows(truths, detections, data.classes, tables)
    for rule, table in tables.items():
        each = [None if np.isnan(row).all() else round(float(row.mean()), 6) for row in table]
        result[rule] = {
            "ap": _mean(table),
            **{f"ap{round(100 * t)}": _mean(table[:, k]) for k, t in enumerate(IOU_THRESHOLDS)},
            "per_class": dict(zip(data.classes, each, strict=True)),
        }
    return result


def ground_truths(data: DetectionDataset) -> list[GroundTruth]:
    """Return the annotations of each image, as they are judged against."""
    return [
        GroundTruth(one.boxes, one.labels, one.difficult, one.crowd, one.polygons)
        for one in data.images
    ]


def detect_dataset(
    net: nn.Module,
    spec: DetectorSpec,
    data: DetectionDataset,
    device: Device,
    progress: Progress,
) -> list[Detections]:
    """Return the detections of each image, large images tile by tile.

    Args:
        net: from :func:`load_detector`, on the device.
        spec: its specification.
        data: images; annotations are not used.
        device: where it runs.
        progress: counts tiles.
    """
    tiles = (
        1 if spec.tile_size is None else len(tiles_of(image, spec.tile_size, spec.tile_overlap))
        for image in data.images
    )
    progress.start("detect", sum(tiles))
    found = detect_images(net, spec, data.images, device, progress.advance)
    return [one.detections for one in found]


def _mean(table: np.ndarray[Any, Any]) -> float | None:
    known = table[~np.isnan(table)]
    return round(float(known.mean()), 6) if len(known) else None
