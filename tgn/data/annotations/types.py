"""Annotated objects in images, as every file format gives them."""

from dataclasses import dataclass, field
from pathlib import Path

Polygon = tuple[tuple[float, float], ...]  # corners (x, y) in pixels
MAX_NAME_LENGTH = 100  # of a class: it names folders and files


@dataclass(frozen=True)
class ObjectAnnotation:
    """One annotated object."""

    image: Path
    class_name: str
    polygon: Polygon  # in order round the object; four corners, but for outlines
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
    notes: list[str] = field(default_factory=list)  # what was read in another way than written


def problem_of_class(name: str) -> str:
    """Return why a class name cannot name folders and files, or ""."""
    plain = name.strip() and name.isprintable() and not set("/\\") & set(name)
    if plain and name not in (".", "..") and len(name) <= MAX_NAME_LENGTH:
        return ""
    return f"class {name[:MAX_NAME_LENGTH]!r} cannot name a folder"


def corners_of_box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Return an upright box as a polygon."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def source_name(image: Path) -> str:
    """Return the name of the image that a file was cut from, its own if from none.

    Files cut from one image are known by their names, as DOTA's tools give them:
    ``<image>__<scale>__<left>...``.
    """
    return str(image.parent / image.stem.split("__")[0])
