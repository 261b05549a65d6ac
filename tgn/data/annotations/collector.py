"""The objects of one source of labels, each checked against its image."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tgn.data.annotations.image_index import ImageIndex, split_name
from tgn.data.annotations.orientation import turn_of_labels, turn_polygon
from tgn.data.annotations.outlines import crosses_itself, polygon_area
from tgn.data.annotations.types import Annotations, ObjectAnnotation, problem_of_class
from tgn.data.images import image_size
from tgn.runtime.errors import DataError

MIN_AREA, MIN_SIDE = 1e-3, 1e-2  # square pixels; pixels of a box that lie inside its image
Size = tuple[int, int]  # width, height in pixels


class AnnotationCollector:
    """Collects the annotations of one source.

    Args:
        images: folder of the images.
    """

    def __init__(self, images: Path) -> None:
        self.images, self.annotations = images, Annotations()
        self.sizes: dict[Path, Size] = {}
        self.named: set[Path] = set()  # images that the labels name
        self._index = ImageIndex(images)
        self._chosen: set[Path] | None = None
        self._turns: dict[Path, int] = {}  # EXIF orientation of images whose labels are not turned

    def has(self, name: str) -> bool:
        """Return whether a name fits an image."""
        return bool(self._index.find(name))

    def choose(self, names: Iterable[str]) -> list[str]:
        """Read the labels of some images only; return names that fit none."""
        found = {name: self._index.find(name) for name in names}
        self._chosen = {path for paths in found.values() for path in paths}
        return [name for name, paths in found.items() if not paths]

    def without_label(self, names: Iterable[str]) -> list[str]:
        """Return the names of images that no label has named so far."""
        return [name for name in names if not self.named.intersection(self._index.find(name))]

    def image(self, name: str, where: str, labelled: Size | None = None) -> Path | None:
        """Return the image file of a name and record its size, or None and record a problem.

        An image that is not among the chosen ones is None, and no problem.

        Args:
            name: with or without folders and suffix.
            where: file and place that name it.
            labelled: its size as the labels give it; None if they do not.
        """
        found = self._index.find(name)
        self.named.update(found)
        if self._chosen is not None and not self._chosen.intersection(found):
            return None
        if len(found) != 1:
            self.problem(where, self._not_found(name, found))
            return None
        (path,) = found
        try:
            size = self.sizes.get(path) or image_size(path)
            turn = turn_of_labels(path, labelled) if labelled and labelled != size else 0
        except DataError as error:
            self.problem(where, f"{path}: {error}")
            return None
        if labelled and labelled != size and not turn:
            self.problem(where, _contradiction(path, labelled, size))
            return None
        self.sizes[path] = size
        if turn:
            self._turns[path] = turn
        return path

    def _not_found(self, name: str, found: list[Path]) -> str:
        if found:
            several = ", ".join(str(path.relative_to(self.images)) for path in found[:2])
            return f"several images {name!r}: {several} are alike; name the folder too"
        reason = self._index.left_out.get(split_name(name)[1])
        return f"no image {name!r}: in {self.images}{f', {reason}' if reason else ''}"

    def add(self, annotation: ObjectAnnotation, where: str) -> None:
        """Add an object, or record why it cannot be used."""
        size = self.sizes[annotation.image]
        if turn := self._turns.get(annotation.image):
            turned = turn_polygon(annotation.polygon, turn, size)
            annotation = replace(annotation, polygon=turned)
        if problem := _find_problem(annotation, size):
            self.problem(where, problem)
        else:
            self.annotations.objects.append(annotation)

    def problem(self, where: str, what: str) -> None:
        """Record something that cannot be used."""
        self.annotations.problems.append(f"{where}: {what}")


def _contradiction(path: Path, labelled: Size, size: Size) -> str:
    said, real = ("x".join(map(str, one)) for one in (labelled, size))
    turned = ", turned as a viewer shows it" if labelled == size[::-1] else ""
    return (
        f"the label is of an image of {said}{turned}, {path} has {real} pixels; "
        "correct one of them, or leave the size out of the label"
    )


def _find_problem(annotation: ObjectAnnotation, size: Size) -> str:
    if problem := problem_of_class(annotation.class_name):
        return problem
    if not all(math.isfinite(value) for corner in annotation.polygon for value in corner):
        return "expected finite numbers"
    left, top, right, bottom = annotation.box_xyxy
    thinnest = max(MIN_AREA, MIN_SIDE * max(right - left, bottom - top))
    if polygon_area(annotation.polygon) < thinnest:
        return "zero area: its corners lie on a line, or not in their order round it"
    if crosses_itself(annotation.polygon):
        return "its outline crosses itself: expected four corners in their order round the object"
    width, height = size
    inside = min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)
    return "" if min(inside) > MIN_SIDE else f"outside its {width}x{height} image"
