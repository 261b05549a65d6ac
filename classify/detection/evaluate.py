"""Detection on a data set, and its average precision."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from torch import Tensor, nn

from classify.detection.average_precision import (
    IOU_THRESHOLDS,
    Detections,
    GroundTruth,
    Rule,
    average_precision,
)
from classify.detection.dataset import (
    DetectionDataset,
    DetectionImage,
    cut_into_tiles,
    decode_image,
)
from classify.detection.models.build import DetectorSpec, detect
from classify.detection.models.dense import ROTATED_NMS_IOU, UPRIGHT_NMS_IOU
from classify.detection.samples import load_sample
from classify.detection.tiling import Tile, merge_detections
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress

RULES: tuple[Rule, ...] = ("voc07", "voc12", "coco")
BATCH_SIZE = 8
WHOLE_IMAGE = Tile(0, 0, 0, 0)  # merging reads the corner only


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
        ``images`` (their number), ``classes``, and of each rule ``ap`` (mean over IoU 0.50 to
        0.95), ``ap50`` ... ``ap95`` and ``per_class`` (name -> ap), in [0, 1]; None without
        objects.
    """
    truths = [
        GroundTruth(one.boxes, one.labels, one.difficult, one.crowd, one.polygons)
        for one in data.images
    ]
    result: dict[str, Any] = {"images": len(truths), "classes": list(data.classes)}
    for rule in RULES:
        table = average_precision(truths, detections, len(data.classes), rule)
        each = [None if np.isnan(row).all() else round(float(row.mean()), 6) for row in table]
        result[rule] = {
            "ap": _mean(table),
            **{f"ap{round(100 * t)}": _mean(table[:, k]) for k, t in enumerate(IOU_THRESHOLDS)},
            "per_class": dict(zip(data.classes, each, strict=True)),
        }
    return result


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
    tiles = [
        (index, tile)
        for index, image in enumerate(data.images)
        for tile in cut_into_tiles(
            DetectionDataset(data.classes, (image,)), spec.tile_size, spec.tile_overlap
        ).images
    ]
    progress.start("detect", len(tiles))
    parts: list[list[tuple[Tile, Detections]]] = [[] for _ in data.images]
    pixels = _read_pixels([tile for _, tile in tiles])
    for start in range(0, len(tiles), BATCH_SIZE):
        batch = tiles[start : start + BATCH_SIZE]
        images = [one.to(device.torch_device).float() / 255 for one in islice(pixels, BATCH_SIZE)]
        for (index, tile), detections in zip(batch, _detect_batch(net, images), strict=True):
            parts[index].append((tile.tile or WHOLE_IMAGE, detections))
        progress.advance(len(batch))
    threshold = ROTATED_NMS_IOU if spec.is_rotated else UPRIGHT_NMS_IOU
    return [one[0][1] if len(one) == 1 else merge_detections(one, threshold) for one in parts]


def _read_pixels(tiles: Sequence[DetectionImage]) -> Iterator[Tensor]:
    """Yield the pixels of each; neighbouring tiles of one image decode it once."""
    for _, group in groupby(tiles, lambda tile: tile.path):
        first, *others = group
        picture = decode_image(first)
        yield from (load_sample(tile, picture).image_u8 for tile in (first, *others))


def _detect_batch(net: nn.Module, images: list[Tensor]) -> list[Detections]:
    """Detect in images of one shape together, so that padding changes no result."""
    detections: dict[int, Detections] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [k for k, image in enumerate(images) if image.shape == shape]
        alike = detect(net.eval(), [images[k] for k in rows])
        detections |= dict(zip(rows, alike, strict=True))
    return [detections[k] for k in range(len(images))]


def _mean(table: np.ndarray[Any, Any]) -> float | None:
    known = table[~np.isnan(table)]
    return round(float(known.mean()), 6) if len(known) else None
