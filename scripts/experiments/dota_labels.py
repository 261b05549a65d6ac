#!/usr/bin/env -S .venv/bin/python
"""How well the rotated boxes of DOTA's labels fit the labels: the figures of docs/stages/detect.md.

scripts/experiments/dota_labels.py    (TGN_SHARED: folder with data/dota_tiny.zip)
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import torch
from common import shared_data
from torch import Tensor

from classify.detection.boxes.polygons import paired_polygon_iou
from classify.detection.data.dataset import make_dataset
from tgn.data.annotations.readers import read_annotations

PARTS, CLOSE = ("train", "val"), 0.9


def fit_of_labels(folder: Path) -> tuple[Tensor, list[str]]:
    """Return the IoU of each label with its rotated box, and the labels that were left out."""
    overlaps, problems = [], []
    for part in PARTS:
        annotations = read_annotations(folder / part / "labelTxt", folder / part / "images")
        problems += annotations.problems
        for image in make_dataset(annotations, rotated=True).images:
            assert image.polygons is not None
            overlaps.append(paired_polygon_iou(image.boxes, image.polygons))
    return torch.cat(overlaps), problems


def main() -> None:
    """Print mean, worst and the share below 0.9."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(shared_data("dota_tiny.zip")) as archive:
            archive.extractall(folder)
        overlaps, problems = fit_of_labels(Path(folder))
    print("| labels | mean IoU | worst | below 0.9 |\n|---|---|---|---|")
    figures = overlaps.mean(), overlaps.min(), 100 * (overlaps < CLOSE).double().mean()
    print("| {} | {:.3f} | {:.3f} | {:.1f}% |".format(len(overlaps), *figures))
    print(*problems, sep="\n")


if __name__ == "__main__":
    main()
