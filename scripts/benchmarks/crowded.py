#!/usr/bin/env -S .venv/bin/python
"""What do crowded images cost: suppression, assignment and regions, by neighbours and by tables?

    scripts/benchmarks/crowded.py

Each work runs in a process of its own, whose memory is that above the start. "Table" is the same
result from overlaps of every box with every other one, as it was computed before; it may be left
out by --no-tables, since that of 20,000 boxes takes 5 GiB. Seconds are those of the clock and of
the processor; the latter also hold beside other work.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from machine import machine
from rotated import random_boxes
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from classify.detection.boxes.rotated import batched_rotated_nms, rotated_iou, to_upright
from classify.detection.distill.regions import rotated_region, valuable_region
from classify.detection.models.assignment import assign_atss, assign_max_iou
from classify.detection.models.dense import NINE_SHAPES, ONE_SQUARE, AnchorShapes
from classify.detection.models.dense_losses import ImagePredictions, ImageTargets
from tgn.runtime.memory import peak_mib, restart_peak

SIDE, OBJECTS, NMS_IOU = 1024, 536, 0.1
Work = Callable[[], object]


def suppress(count: int, reach: float) -> Work:
    """Suppress boxes of one class in blocks."""
    boxes, scores = random_boxes(count, reach, 0), torch.rand(count)
    labels = torch.zeros(count, dtype=torch.int64)
    return lambda: batched_rotated_nms(boxes, scores, labels, NMS_IOU)


def suppress_by_table(count: int, reach: float) -> Work:
    """Suppress boxes of one class by the overlaps of all pairs."""
    boxes = random_boxes(count, reach, 0)[torch.rand(count).argsort(descending=True)]

    def work() -> Tensor:
        overlaps = (rotated_iou(boxes, boxes) > NMS_IOU).triu(1)
        suppressed = torch.zeros(len(boxes), dtype=torch.bool)
        for rank in range(len(boxes)):
            if not suppressed[rank]:
                suppressed |= overlaps[rank]
        return suppressed

    return work


def crowd(shapes: AnchorShapes) -> tuple[ImagePredictions, Tensor]:
    """Return the anchors of an image, without predictions, and its rotated objects."""
    sizes = tuple(tuple(stride * octave for octave in shapes.octaves) for stride in shapes.strides)
    image = ImageList(torch.zeros(1, 3, SIDE, SIDE), [(SIDE, SIDE)])
    maps = [torch.zeros(1, 1, SIDE // stride, SIDE // stride) for stride in shapes.strides]
    anchors = AnchorGenerator(sizes, (shapes.ratios,) * len(sizes))(image, maps)[0]
    levels = tuple((SIDE // stride) ** 2 * shapes.per_location for stride in shapes.strides)
    none = torch.zeros(0)
    return ImagePredictions(none, none, anchors, levels), random_boxes(OBJECTS, SIDE, 0)


def assign_rotated() -> Work:
    """Assign the anchors of a rotated detector, and find the region of its distillation."""
    image, objects = crowd(NINE_SHAPES)
    targets = ImageTargets(objects, torch.zeros(OBJECTS))
    return lambda: (
        assign_max_iou(image.anchors, to_upright(objects)),
        rotated_region(image, targets),
    )


def assign_rotated_by_table() -> Work:
    """Do the same by the tables of both overlaps and of the distances, and no more than these."""
    image, objects = crowd(NINE_SHAPES)
    sides = image.anchors[:, 2:] - image.anchors[:, :2]
    middles = image.anchors[:, :2] + sides / 2
    turned = torch.cat((middles, sides, torch.zeros(len(sides), 1)), dim=1)

    def work() -> None:
        box_iou(image.anchors, to_upright(objects)).max(dim=1)
        for part in middles.split(list(image.levels)):
            torch.cdist(part, objects[:, :2]).topk(9, dim=0, largest=False)
        rotated_iou(turned, objects).max(dim=1)

    return work


def assign_upright() -> Work:
    """Assign the anchors of GFL, and find the valuable localization region."""
    image, objects = crowd(ONE_SQUARE)
    boxes = to_upright(objects)
    targets = ImageTargets(boxes, torch.zeros(OBJECTS))
    return lambda: (
        assign_atss(image.anchors, image.levels, boxes),
        valuable_region(image, targets),
    )


WORKS: dict[str, Callable[[], Work]] = {
    "20,000 boxes over 4096 pixels": lambda: suppress(20_000, 4096.0),
    "20,000 boxes over 4096 pixels, table": lambda: suppress_by_table(20_000, 4096.0),
    "50,000 boxes over 4096 pixels": lambda: suppress(50_000, 4096.0),
    "50,000 boxes over 1024 pixels": lambda: suppress(50_000, 1024.0),
    "536 rotated objects in 1024 pixels": assign_rotated,
    "536 rotated objects in 1024 pixels, table": assign_rotated_by_table,
    "536 upright objects in 1024 pixels": assign_upright,
}


def measure(name: str, threads: int) -> None:
    """Print what one work takes."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    work = WORKS[name]()
    restart_peak()
    before, clock, processor = peak_mib() or 0, time.perf_counter(), time.process_time()
    work()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    memory = (peak_mib() or 0) - before
    print(f"{name}: {clock:.2f} s, {processor:.2f} s of processors, {memory} MiB", flush=True)


def main() -> None:
    """Print a line for each work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-tables", action="store_true")
    parser.add_argument("--only", choices=list(WORKS), help="one work, in this process")
    given = parser.parse_args()
    if given.only:
        measure(given.only, given.threads)
        return
    print(machine(), flush=True)
    for name in WORKS:
        if not (given.no_tables and name.endswith("table")):
            words = [sys.executable, __file__, "--only", name, "--threads", str(given.threads)]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
