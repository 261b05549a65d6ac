"""Annotation files of COCO."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tgn.data.annotations.collector import AnnotationCollector, Size
from tgn.data.annotations.image_index import ImageIndex, split_name
from tgn.data.annotations.types import ObjectAnnotation, Polygon, corners_of_box
from tgn.runtime.errors import DataError
from tgn.runtime.regular_files import read_regular

ENCODING = "utf-8-sig"  # with or without a byte order mark
COCO_BYTES = 1 << 30  # the largest of COCO itself has 450 MB


def read_coco(file: Path, collector: AnnotationCollector) -> None:
    """Read one file.

    Raises:
        DataError: if it is none, or one id is given to two images or categories.
    """
    try:
        data = _content(file)
        classes = _by_id(data["categories"], "name", file)
        names = _by_id(data["images"], "file_name", file)
        sizes = {_id(row["id"]): _size(row) for row in data["images"]}
        rows = list(data["annotations"])
    except DataError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{file} is no COCO file: {error!r}") from None
    images = _images(file, names, sizes, collector)
    for number, row in enumerate(rows):
        where = f"{file} annotation {number}"
        try:
            where = f"{file} annotation {row.get('id', number)}"
            image_id, class_id = _id(row["image_id"]), _id(row["category_id"])
            corners, is_crowd = _corners(row["bbox"]), bool(row.get("iscrowd"))
        except (AttributeError, KeyError, ValueError, TypeError) as error:
            collector.problem(where, _reason(error))
            continue
        if image_id not in names or class_id not in classes:
            missing = f"image {image_id}" if image_id not in names else f"category {class_id}"
            collector.problem(where, f"the file has no {missing}")
        elif image := images[image_id]:
            one = ObjectAnnotation(image, classes[class_id], corners, is_crowd, is_crowd)
            collector.add(one, where)


class CocoIds(NamedTuple):
    """The ids that a file gives, as it writes them."""

    images: dict[Path, Any]  # image file -> id
    categories: dict[str, Any]  # name of a class in lower case -> id


def read_coco_ids(file: Path, images: Path) -> CocoIds:
    """Return the ids of a file that :func:`read_coco` has read, for results that refer to it.

    Args:
        file: of COCO.
        images: folder of the images.

    Raises:
        DataError: if it is no COCO file.
    """
    index = ImageIndex(images)
    by_path: dict[Path, Any] = {}
    by_name: dict[str, Any] = {}
    try:
        data = _content(file)
        for row in data["images"]:
            for path in index.find(str(row["file_name"]).strip()):
                by_path.setdefault(path, row["id"])
        for row in data["categories"]:
            by_name.setdefault(str(row["name"]).strip().casefold(), row["id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{file} is no COCO file: {error!r}") from None
    return CocoIds(by_path, by_name)


def _content(file: Path) -> Any:
    return json.loads(read_regular(file, COCO_BYTES).decode(ENCODING))


def _images(
    file: Path, names: dict[str, str], sizes: dict[str, Size | None], collector: AnnotationCollector
) -> dict[str, Path | None]:
    """Return the image of each id; None, and a problem, where there is none or it is in doubt."""
    found = {
        number: collector.image(name, f"{file} image {number}", sizes[number])
        for number, name in names.items()
    }
    claims: defaultdict[Path, set[str]] = defaultdict(set)
    for number, path in found.items():
        if path is not None:
            claims[path].add(names[number])
    for number, path in found.items():
        if path is None or len(claims[path]) == 1:
            continue
        folders, _ = split_name(names[number])
        if path.resolve().parent.parts[-len(folders) :] != folders:  # the image of another name
            others = " and ".join(sorted(claims[path]))
            collector.problem(
                f"{file} image {number}",
                f"{others} all fit {path}; IMAGES must be the folder that holds their folders",
            )
            found[number] = None
    return found


def _id(value: object) -> str:
    """Return an id as text: files have 1, "1" and 1.0 for the same."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _by_id(rows: list[dict[str, Any]], key: str, file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        number, value = _id(row["id"]), str(row[key]).strip()
        if found.setdefault(number, value) != value:
            raise DataError(
                f"{file}: id {number} is {found[number]!r} and {value!r}; give each its own id"
            )
    return found


def _size(row: dict[str, Any]) -> Size | None:
    width, height = (int(row.get(side) or 0) for side in ("width", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _corners(box: list[float]) -> Polygon:
    x, y, width, height = (float(value) for value in box)
    if width < 0 or height < 0:
        raise ValueError(
            f"bbox has width {width:g} and height {height:g}; expected x, y, width, height"
        )
    return corners_of_box(x, y, x + width, y + height)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error)
