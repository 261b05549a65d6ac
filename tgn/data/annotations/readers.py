"""Annotation files of COCO, DOTA and Pascal VOC, read into one form."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

from tgn.data.annotations.types import (
    AnnotationCollector,
    Annotations,
    ObjectAnnotation,
    Polygon,
    corners_of_box,
)
from tgn.data.images import SUFFIXES
from tgn.runtime.errors import DataError, NotFoundError

DOTA_HEADERS = ("imagesource", "gsd")
VOC_SIDES = ("xmin", "ymin", "xmax", "ymax")
DIOR_CORNERS = ("left_top", "right_top", "right_bottom", "left_bottom")  # of a robndbox
UTF_8 = "utf-8-sig"  # with or without a byte order mark


def read_annotations(labels: Path, images: Path) -> Annotations:
    """Read COCO (a .json file), DOTA labelTxt (a folder of .txt) or Pascal VOC (.xml).

    Of Pascal VOC files, the rotated boxes of DIOR-R too. If both folders are the same one, without
    annotation files, its images are read without objects.

    Args:
        labels: the file or the folder of annotations.
        images: folder of the images.

    Returns:
        What could be read, with a line about each problem.

    Raises:
        NotFoundError: if labels or images are not there.
        DataError: if the labels are in none of the three formats.
    """
    if not images.is_dir():
        raise NotFoundError(f"no image folder {images}")
    files, read = _files_and_reader(labels, images)
    collector = AnnotationCollector(images)
    for file in files:
        try:
            read(file, collector)
        except UnicodeDecodeError:
            collector.problem(str(file), "not UTF-8; convert it")
    collector.annotations.images = sorted(collector.sizes)
    return collector.annotations


def _files_and_reader(
    labels: Path, images: Path
) -> tuple[list[Path], Callable[[Path, AnnotationCollector], None]]:
    """Return the annotation files and the function that reads one."""
    if labels.is_file() and labels.suffix.lower() == ".json":
        return [labels], _read_coco
    kinds = [(sorted(labels.glob("*.txt")), _read_dota), (sorted(labels.glob("*.xml")), _read_voc)]
    files, read = max(kinds, key=lambda kind: len(kind[0]))  # labelImg adds a classes.txt
    if files:
        return files, read
    if labels.resolve() == images.resolve():
        return sorted(images.iterdir()), _read_unlabelled
    raise NotFoundError(
        f"no labels in {labels}: expected a COCO .json, or a folder of DOTA .txt or VOC .xml"
    )


def _read_unlabelled(file: Path, collector: AnnotationCollector) -> None:
    if file.suffix.lower() in SUFFIXES:
        collector.image(file.name, str(file))


def _read_coco(file: Path, collector: AnnotationCollector) -> None:
    try:
        data = json.loads(file.read_text(encoding=UTF_8))
        classes = {row["id"]: str(row["name"]).strip() for row in data["categories"]}
        names = {row["id"]: str(row["file_name"]) for row in data["images"]}
        rows = list(data["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no COCO file: {error!r}") from None
    for number, name in names.items():
        collector.image(name, f"{file} image {number}")
    usable = {name for name in names.values() if collector.find(name) in collector.sizes}
    for number, row in enumerate(rows):
        where = f"{file} annotation {number}"
        try:
            where = f"{file} annotation {row.get('id', number)}"
            x, y, width, height = (float(value) for value in row["bbox"])
            class_name, name = classes[row["category_id"]], names[row["image_id"]]
            is_crowd = bool(row.get("iscrowd"))
        except (AttributeError, KeyError, ValueError, TypeError) as error:
            collector.problem(where, repr(error))
            continue
        if name in usable and (image := collector.find(name)):
            corners = corners_of_box(x, y, x + width, y + height)
            collector.add(ObjectAnnotation(image, class_name, corners, is_crowd, is_crowd), where)


def _read_dota(file: Path, collector: AnnotationCollector) -> None:
    lines = file.read_text(encoding=UTF_8).splitlines()
    image = collector.image(file.stem, str(file))
    if image is None:
        return
    for number, line in enumerate(lines, start=1):
        words, where = line.split(), f"{file} line {number}"
        if not words or words[0].split(":")[0].lower() in DOTA_HEADERS:
            continue
        try:
            x1, y1, x2, y2, x3, y3, x4, y4 = map(float, words[:8])
            class_name, difficult = words[8], len(words) > 9 and words[9] == "1"
        except (ValueError, IndexError):
            collector.problem(where, "expected x1 y1 ... x4 y4 class [difficult]")
            continue
        corners = (x1, y1), (x2, y2), (x3, y3), (x4, y4)
        collector.add(ObjectAnnotation(image, class_name, corners, difficult), where)


def _read_voc(file: Path, collector: AnnotationCollector) -> None:
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        collector.problem(str(file), f"not XML in UTF-8: {error}")
        return
    image = collector.image((root.findtext("filename") or file.stem).strip(), str(file))
    if image is None:
        return
    for number, element in enumerate(root.iter("object"), start=1):
        where = f"{file} object {number}"
        try:
            corners = _voc_corners(element)
        except ValueError:
            collector.problem(where, "bndbox is not four numbers, nor robndbox eight")
            continue
        name = (element.findtext("name") or "").strip()
        difficult = (element.findtext("difficult") or "").strip() == "1"
        collector.add(ObjectAnnotation(image, name, corners, difficult), where)


def _voc_corners(element: ElementTree.Element) -> Polygon:
    """Return the corners of a ``bndbox``, or of a ``robndbox`` as DIOR-R has them."""

    def number(tag: str) -> float:
        return float(element.findtext(tag) or "")

    if element.find("robndbox") is not None:
        places = (f"robndbox/{{}}_{corner}" for corner in DIOR_CORNERS)
        return tuple((number(at.format("x")), number(at.format("y"))) for at in places)
    left, top, right, bottom = (number(f"bndbox/{side}") for side in VOC_SIDES)
    return corners_of_box(left, top, right, bottom)
