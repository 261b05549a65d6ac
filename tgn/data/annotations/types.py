"""Labelled objects in images, and what collects them, checking each against its image."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.images import SUFFIXES, image_size
from tgn.runtime.errors import DataError

Polygon = tuple[tuple[float, float], ...]  # corners (x, y) in pixels
LEAST_AREA, LEAST_SIDE = 1e-3, 1e-2  # square pixels; pixels of a box inside its image
LONGEST_NAME = 100  # of a class, which names folders and files


@dataclass(frozen=True)
class DetectedObject:
    """One labelled object."""

    image: Path
    class_name: str
    polygon: Polygon
    difficult: bool
    is_crowd: bool = False  # many that were not told apart, as COCO has them; difficult too

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """The upright box round the polygon: left, top, right, bottom in pixels."""
        x, y = zip(*self.polygon, strict=True)
        return min(x), min(y), max(x), max(y)


@dataclass
class Detections:
    """All objects that could be read, and a line on each label that could not."""

    objects: list[DetectedObject] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)  # all that belong to the labels, by name
    problems: list[str] = field(default_factory=list)


class Collector:
    """Collects the labels of one source.

    Args:
        images: folder of the images.
    """

    def __init__(self, images: Path) -> None:
        self.images, self.found = images, Detections()
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
        """Return the image file of a name, noting its size, or None with a problem."""
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

    def add(self, found: DetectedObject, where: str) -> None:
        """Keep an object, unless there is something wrong with it."""
        if problem := self._problem_of(found):
            self.problem(where, problem)
        else:
            self.found.objects.append(found)

    def problem(self, where: str, what: str) -> None:
        """Note something that cannot be used."""
        self.found.problems.append(f"{where}: {what}")

    def _problem_of(self, found: DetectedObject) -> str:
        if problem := problem_of_class(found.class_name):
            return problem
        if not all(math.isfinite(value) for corner in found.polygon for value in corner):
            return "expected finite numbers"
        if _area(found.polygon) < LEAST_AREA:
            return "zero area: its corners lie on a line, or not in their order round it"
        left, top, right, bottom = found.box_xyxy
        width, height = self.sizes[found.image]
        inside = min(right, width) - max(left, 0), min(bottom, height) - max(top, 0)
        return "" if min(inside) > LEAST_SIDE else f"outside its {width}x{height} image"


def problem_of_class(name: str) -> str:
    """Say what is wrong with the name of a class: it names folders and files; "" if nothing."""
    plain = name.strip() and name.isprintable() and not set("/\\") & set(name)
    if plain and name not in (".", "..") and len(name) <= LONGEST_NAME:
        return ""
    return f"class {name[:LONGEST_NAME]!r} cannot name a folder"


def corners_of_box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An upright box as a polygon."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _area(polygon: Polygon) -> float:
    """Of a polygon that does not cross itself, in square pixels."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2
