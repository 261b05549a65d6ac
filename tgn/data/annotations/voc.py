"""Annotation files of Pascal VOC, DIOR and DIOR-R."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tgn.data.annotations.collector import AnnotationCollector, Size
from tgn.data.annotations.types import ObjectAnnotation, Polygon, corners_of_box
from tgn.runtime.regular_files import LABELS_BYTES, read_regular

SIDES = ("xmin", "ymin", "xmax", "ymax")
DIOR_CORNERS = ("left_top", "right_top", "right_bottom", "left_bottom")  # of a robndbox


def read_voc(file: Path, collector: AnnotationCollector) -> None:
    """Read one file: the labels of the image with its stem, else of the one that it names."""
    content = read_regular(file, LABELS_BYTES)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        collector.problem(str(file), f"not XML in UTF-8: {error}")
        return
    # The files lie side by side, while the name inside is often the one before a renaming.
    written = (root.findtext("filename") or "").strip()
    name = file.stem if collector.has(file.stem) or not written else written
    image = collector.image(name, str(file), _size(root))
    if image is None:
        return
    for number, element in enumerate(root.iter("object"), start=1):
        where = f"{file} object {number}"
        try:
            corners = _corners(element)
        except ValueError as error:
            collector.problem(where, str(error))
            continue
        name = (element.findtext("name") or "").strip()
        difficult = (element.findtext("difficult") or "").strip() == "1"
        collector.add(ObjectAnnotation(image, name, corners, difficult), where)


def _size(root: ElementTree.Element) -> Size | None:
    try:
        width, height = (int(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _corners(element: ElementTree.Element) -> Polygon:
    """Return the corners of a ``bndbox``, or of a ``robndbox`` as DIOR-R has them.

    A ``bndbox`` names its first and last pixels, counted from 1 (VOC devkit, Everingham et al.), so
    that its area begins one before. The corners of a ``robndbox`` are places.
    """

    def number(tag: str) -> float:
        try:
            return float(element.findtext(tag) or "")
        except ValueError:
            raise ValueError("bndbox is not four numbers, nor robndbox eight") from None

    if element.find("robndbox") is not None:
        places = (f"robndbox/{{}}_{corner}" for corner in DIOR_CORNERS)
        return tuple((number(at.format("x")), number(at.format("y"))) for at in places)
    left, top, right, bottom = (number(f"bndbox/{side}") for side in SIDES)
    if right < left or bottom < top:
        raise ValueError(
            f"bndbox ends before it begins: x {left:g} to {right:g}, y {top:g} to {bottom:g}"
        )
    return corners_of_box(left - 1, top - 1, right, bottom)
