"""Annotated objects in images, and a collector that checks each against its image."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.images import SUFFIXES, image_size
from tgn.runtime.errors import DataError

Polygon = tuple[tuple[float, float], ...]  # corners (x, y) in pixels
MIN_AREA, MIN_SIDE = 1e-3, 1e-2  # square pixels; pixels of a box that lie inside its image
MAX_NAME_LENGTH = 100  # of a class: it names folders and files


@dataclass(frozen=True)
class ObjectAnnotation:
    """One annotated object."""

    image: Path
    class_name: str
    polygon: Polygon  # in order round the object; four corners, but for upright polygons
    difficult: bool
    is_crowd: bool = False  # several objects under one box, as COCO has them; difficult too

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Return the upright box round the polygon: left, top, right, bottom in pixels."""
        x, y = zip(*self.polygon, strict=True)
        return min(x), min(y), max(x), max(y)


@dataclass
class Annotations:
    """All objects that could be read, and a line about each label that could not."""

    objects: list[ObjectAnnotation] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)  # sorted; some have no object
    problems: list[str] = field(default_factory=list)


class AnnotationCollector:
    """Collects the annotations of one source.

    Args:
        images: folder of the images.
    """

    def __init__(self, images: Path) -> None:
        self.images, self.annotations = images, Annotations()
        self.sizes: dict[Path, tuple[int, int]] = {}
        self._by_stem = {
            path.stem: path for path in sorted(images.iterdir()) if path.suffix.lower() in SUFFIXES
        }

    def find(self, name: str) -> Path | None:
        """Return the image file of a name, with or without its suffix, or None."""
        plain = Path(name).name
        exact = self.images / plain
        stem = exact.stem if exact.suffix.lower() in SUFFIXES else plain  # P1__0.5__0 is a stem
        return exact if exact.is_file() else self._by_stem.get(stem)

    def image(self, name: str, where: str) -> Path | None:
        """Return the image file of a name and record its size, or None and record a problem."""
        path = self.find(name)
        if path is None:
            self.problem(where, f"no image {Path(name).name!r} in {self.images}")
        elif path not in self.sizes:
            try:
                self.sizes[path] = image_size(path)
            except DataError as error:
                self.problem(where, f"{path}: {error}")
                return None
        return path

    def add(self, annotation: ObjectAnnotation, where: str) -> None:
        """Add an object, or record why it cannot be used."""
        if problem := self._find_problem(annotation):
            self.problem(where, problem)
        else:
            self.annotations.objects.append(annotation)

    def problem(self, where: str, what: str) -> None:
        """Record something that cannot be used."""
        self.annotations.problems.append(f"{where}: {what}")

    def _find_problem(self, annotation: ObjectAnnotation) -> str:
        if problem := problem_of_class(annotation.class_name):
            return problem
        if not all(math.isfinite(value) for corner in annotation.polygon for value in corner):
            return "expected finite numbers"
        if _area(annotation.polygon) < MIN_AREA:
            return "zero area: its corners lie on a line, or not in their order round it"
        left, top, right, bottom = annotation.box_xyxy
        width, height = self.sizes[annotation.image]
        inside = min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)
        return "" if min(inside) > MIN_SIDE else f"outside its {width}x{height} image"


def problem_of_class(name: str) -> str:
    """Return why a class name cannot name folders and files, or ""."""
    plain = name.strip() and name.isprintable() and not set("/\\") & set(name)
    if plain and name not in (".", "..") and len(name) <= MAX_NAME_LENGTH:
        return ""
    return f"class {name[:MAX_NAME_LENGTH]!r} cannot name a folder"


def corners_of_box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Return an upright box as a polygon."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _area(polygon: Polygon) -> float:
    """Return the area of a polygon that does not cross itself, in square pixels."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2
