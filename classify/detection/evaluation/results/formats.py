"""One writer for each format; each takes image after image and holds none of them."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import to_corners, to_upright
from tgn.data.images import image_size

UPRIGHT_COLUMNS = ("left", "top", "right", "bottom")
ROTATED_COLUMNS = tuple(f"{axis}{corner}" for corner in (1, 2, 3, 4) for axis in "xy")
WAITING = 10_000  # lines that wait until files of many classes are opened


class Writer(Protocol):
    """Takes the detections of one image after another."""

    def add(self, path: Path, detections: Detections) -> None:
        """Write the detections of an image file."""

    def end(self) -> None:
        """Write what is left."""


class CsvWriter:
    """A line a detection: image, class, score, and the edges or the four corners in pixels.

    Args:
        file: gets the table.
        classes: names of the labels.
        root: folder that names of images are relative to.
        is_rotated: whether boxes have an angle.
    """

    def __init__(self, file: Path, classes: Sequence[str], root: Path, is_rotated: bool) -> None:
        self.file, self.classes, self.root = file, classes, root
        columns = ROTATED_COLUMNS if is_rotated else UPRIGHT_COLUMNS
        self._append([("image", "class", "score", *columns)])

    def add(self, path: Path, detections: Detections) -> None:
        """Write the detections of an image file."""
        name = path.relative_to(self.root).as_posix()
        self._append(
            (name, self.classes[label], f"{score:.5f}", *(f"{value:.2f}" for value in row))
            for row, label, score in _rows(detections)
        )

    def _append(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _append(self.file, text.getvalue())

    def end(self) -> None:
        """Do nothing more."""


class CocoWriter:
    """COCO's list of results: image_id, category_id, bbox (left, top, width, height), score.

    Of a rotated box, ``bbox`` is the upright one round it, and ``segmentation`` has its corners.

    Args:
        file: gets the list.
        classes: names of the labels.
        images: image file -> id.
        categories: name of a class in lower case -> id; detections of others are left out.
    """

    def __init__(
        self,
        file: Path,
        classes: Sequence[str],
        images: Mapping[Path, Any],
        categories: Mapping[str, Any],
    ) -> None:
        self.file, self.images = file, images
        self.categories = [categories.get(name.casefold()) for name in classes]
        self._before = "[\n"

    def add(self, path: Path, detections: Detections) -> None:
        """Write the detections of an image file."""
        boxes = detections.boxes
        upright = to_upright(boxes) if boxes.shape[1] == 5 else boxes
        texts = []
        for corners, box, (row, label, score) in zip(
            upright.tolist(), boxes, _rows(detections), strict=True
        ):
            left, top, right, bottom = corners
            record: dict[str, Any] = {
                "image_id": self.images[path],
                "category_id": self.categories[label],
                "bbox": [left, top, right - left, bottom - top],
                "score": score,
            }
            if len(box) == 5:
                record["segmentation"] = [row]
            if record["category_id"] is not None:
                texts.append(json.dumps(record, allow_nan=False))
        if texts:
            _append(self.file, self._before + ",\n".join(texts))
            self._before = ",\n"

    def end(self) -> None:
        """Close the list."""
        _append(self.file, "[]\n" if self._before == "[\n" else "\n]\n")


class CocoImagesWriter:
    """The images and categories that results refer to, as COCO lists images without labels.

    Args:
        file: gets the list.
        classes: names of the labels.
        root: folder that names of images are relative to.
        images: image file -> id.
        categories: name of a class in lower case -> id.
    """

    def __init__(
        self,
        file: Path,
        classes: Sequence[str],
        root: Path,
        images: Mapping[Path, Any],
        categories: Mapping[str, Any],
    ) -> None:
        self.file, self.root, self.images = file, root, images
        rows = [{"id": categories[name.casefold()], "name": name} for name in classes]
        _append(file, f'{{"categories": {json.dumps(rows)},\n"images": [')
        self._before = "\n"

    def add(self, path: Path, detections: Detections) -> None:
        """Write an image's name and size."""
        width, height = image_size(path)
        row = {"id": self.images[path], "file_name": path.relative_to(self.root).as_posix()}
        _append(self.file, self._before + json.dumps({**row, "width": width, "height": height}))
        self._before = ",\n"

    def end(self) -> None:
        """Close the list."""
        _append(self.file, '],\n"annotations": []}\n')


class SubmissionWriter:
    """Files for DOTA's evaluation server, one a class.

    A line of task 1 is: image score x1 y1 x2 y2 x3 y3 x4 y4; of task 2: image score left top right
    bottom; in pixels. Source: the DOTA evaluation server's description.

    Args:
        files: of each class, in the order of labels.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._waiting: list[list[str]] = [[] for _ in files]

    def add(self, path: Path, detections: Detections) -> None:
        """Take the detections of an image file."""
        for row, label, score in _rows(detections):
            numbers = " ".join(f"{value:.1f}" for value in row)
            self._waiting[label].append(f"{path.stem} {score:.4f} {numbers}\n")
        if sum(map(len, self._waiting)) > WAITING:
            self.end()

    def end(self) -> None:
        """Write what waits."""
        for file, lines in zip(self.files, self._waiting, strict=True):
            if lines:
                _append(file, "".join(lines))
                lines.clear()


def _rows(detections: Detections) -> list[tuple[list[float], int, float]]:
    """Return coordinates (4 edges, or 8 of the corners), label and score of each detection."""
    boxes: Tensor = detections.boxes
    coordinates = to_corners(boxes).flatten(1) if boxes.shape[1] == 5 else boxes
    columns = (coordinates.tolist(), detections.labels.tolist(), detections.scores.tolist())
    return list(zip(*columns, strict=True))


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(text)
