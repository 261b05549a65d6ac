"""What a detector finds in images, and what that is worth."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from torch import Tensor, nn

from classify.detection.average_precision import THRESHOLDS, Found, Rule, Truth, average_precision
from classify.detection.dataset import Scene, Scenes, cut, picture_of
from classify.detection.models.build import DetectorFacts, detect
from classify.detection.models.dense import ROTATED_NMS, UPRIGHT_NMS
from classify.detection.tiling import Window, merged
from classify.detection.trainer import shown
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress

RULES: tuple[Rule, ...] = ("voc07", "voc12", "coco")
AT_ONCE = 8
WHOLE = Window(0, 0, 0, 0)


def evaluate_detector(
    net: nn.Module, facts: DetectorFacts, data: Scenes, device: Device, progress: Progress
) -> dict[str, Any]:
    """Return average precision by all rules: means over classes, and of each class."""
    return judge(data, found_in(net, facts, data, device, progress))


def judge(data: Scenes, found: list[Found]) -> dict[str, Any]:
    """Return average precision of what was found in each scene."""
    truths = [Truth(one.boxes, one.labels, one.difficult, one.crowd) for one in data.scenes]
    result: dict[str, Any] = {"images": len(truths), "classes": list(data.classes)}
    for rule in RULES:
        table = average_precision(truths, found, len(data.classes), rule)
        each = [None if np.isnan(row).all() else round(float(row.mean()), 6) for row in table]
        result[rule] = {
            "ap": _mean(table),
            **{f"ap{round(100 * t)}": _mean(table[:, k]) for k, t in enumerate(THRESHOLDS)},
            "per_class": each,
        }
    return result


def found_in(
    net: nn.Module, facts: DetectorFacts, data: Scenes, device: Device, progress: Progress
) -> list[Found]:
    """Return what a detector finds in each scene, large images patch by patch."""
    patches = [
        (number, part)
        for number, scene in enumerate(data.scenes)
        for part in cut(Scenes(data.classes, (scene,)), facts.patch, facts.overlap).scenes
    ]
    progress.start("detect", len(patches))
    parts: list[list[tuple[Window, Found]]] = [[] for _ in data.scenes]
    opened = _opened([part for _, part in patches])
    for start in range(0, len(patches), AT_ONCE):
        some = patches[start : start + AT_ONCE]
        images = [one.to(device.torch_device).float() / 255 for one in islice(opened, AT_ONCE)]
        for (number, part), found in zip(some, _detected(net, images), strict=True):
            parts[number].append((part.window or WHOLE, found))
        progress.advance(len(some))
    threshold = ROTATED_NMS if facts.is_rotated else UPRIGHT_NMS
    return [one[0][1] if len(one) == 1 else merged(one, threshold) for one in parts]


def _opened(parts: Sequence[Scene]) -> Iterator[Tensor]:
    """The pixels of each; neighbouring patches of one image decode it once."""
    for _, patches in groupby(parts, lambda part: part.image):
        first, *others = patches
        picture = picture_of(first)
        yield from (shown(part, picture).image_u8 for part in (first, *others))


def _detected(net: nn.Module, images: list[Tensor]) -> list[Found]:
    """Detect in images of like size together: none may be padded for the sake of another."""
    found: dict[int, Found] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [k for k, image in enumerate(images) if image.shape == shape]
        alike = detect(net.eval(), [images[k] for k in rows])
        found |= dict(zip(rows, alike, strict=True))
    return [found[k] for k in range(len(images))]


def _mean(table: np.ndarray[Any, Any]) -> float | None:
    known = table[~np.isnan(table)]
    return round(float(known.mean()), 6) if len(known) else None
