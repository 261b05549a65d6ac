"""Annotation files of YOLO: upright boxes, rotated boxes (OBB) and outlines, by class number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tgn.data.annotations.collector import AnnotationCollector, Size
from tgn.data.annotations.types import ObjectAnnotation, Polygon, corners_of_box
from tgn.runtime.errors import DataError
from tgn.runtime.regular_files import LABELS_BYTES, NotReadableError, read_regular
from tgn.runtime.text_files import read_yaml

ENCODING = "utf-8-sig"  # with or without a byte order mark
NAME_LISTS = ("classes.txt", "obj.names")
LEVELS = 3  # folders searched for the names: that of the labels and two above
LOWEST, HIGHEST = -0.5, 1.5  # coordinates are shares of the image; a corner may lie outside of it
EXPECTED = "expected: class x y width height, or class x1 y1 x2 y2 x3 y3 ..., as shares of 0 to 1"


def is_yolo(files: list[Path]) -> bool:
    """Return whether label files are YOLO's, by the first line that there is."""
    for file in files:
        try:
            lines = _text(file, "replace").split("\n")
        except (NotReadableError, OSError):  # said when all are read
            continue
        first = next((line for line in lines if line.strip()), None)
        if first is not None and file.name not in NAME_LISTS:
            return _numbers(first.split()) is not None
    return False


class YoloReader:
    """Reads files of labels with one list of class names.

    Args:
        labels: their folder. The names are in the YAML file (``names:``) or ``classes.txt`` there,
            or up to two folders above.

    Raises:
        DataError: if there are no names, or two lists of them.
    """

    def __init__(self, labels: Path) -> None:
        self.names = _class_names(labels)

    def read(self, file: Path, collector: AnnotationCollector) -> None:
        """Read one file: the labels of the image with its stem."""
        lines = _text(file).splitlines()
        if file.name in NAME_LISTS or (image := collector.image(file.stem, str(file))) is None:
            return
        for number, line in enumerate(lines, start=1):
            words, where = line.split(), f"{file} line {number}"
            if not words:
                continue
            numbers = _numbers(words)
            if numbers is None:
                collector.problem(where, EXPECTED)
            elif (name := self.names.get(int(numbers[0]))) is None:
                known = f"0 to {max(self.names)}"
                collector.problem(where, f"class {words[0]} has no name; there are {known}")
            else:
                corners = _corners(numbers[1:], collector.sizes[image])
                collector.add(ObjectAnnotation(image, name, corners, difficult=False), where)


def _text(file: Path, errors: str = "strict") -> str:
    return read_regular(file, LABELS_BYTES).decode(ENCODING, errors)


def _numbers(words: list[str]) -> list[float] | None:
    """Return the class number and the coordinates of a line; None if it is none of YOLO's."""
    if not words[0].isdecimal() or not (len(words) == 5 or (len(words) >= 7 and len(words) % 2)):
        return None
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if all(LOWEST <= value <= HIGHEST for value in numbers[1:]) else None


def _corners(shares: list[float], size: Size) -> Polygon:
    width, height = size
    if len(shares) == 4:
        x, y, wide, high = shares
        left, right = (x - wide / 2) * width, (x + wide / 2) * width
        return corners_of_box(left, (y - high / 2) * height, right, (y + high / 2) * height)
    points = zip(shares[::2], shares[1::2], strict=True)
    return tuple((x * width, y * height) for x, y in points)


def _class_names(labels: Path) -> dict[int, str]:
    folders = [labels.resolve(), *labels.resolve().parents][:LEVELS]
    unread: list[str] = []
    for folder in folders:
        found = dict(_lists(folder, unread))
        if len({tuple(sorted(names.items())) for names in found.values()}) > 1:
            files = ", ".join(sorted(path.name for path in found))
            raise DataError(f"{folder} has several lists of class names: {files}; leave one there")
        if found:
            return next(iter(found.values()))
    raise DataError(
        f"{labels} has YOLO labels, which number the classes, and no names; put data.yaml (with "
        f"names:) or classes.txt into {folders[0]} or a folder above{_because(unread)}"
    )


def _because(unread: list[str]) -> str:
    return f" ({'; '.join(unread)})" if unread else ""


def _lists(folder: Path, unread: list[str]) -> Iterator[tuple[Path, dict[int, str]]]:
    """Yield the lists of class names in a folder; ``unread`` gets why a file may not be one."""
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if names := _yaml_names(path, unread):
            yield path, names
    for path in (folder / name for name in NAME_LISTS):
        if path.is_file():
            lines = _text(path, "replace").splitlines()
            yield path, {k: line.strip() for k, line in enumerate(lines) if line.strip()}


def _yaml_names(path: Path, unread: list[str]) -> dict[int, str]:
    try:
        content: Any = read_yaml(path)
    except (DataError, OSError) as error:  # perhaps another program's
        unread.append(str(error))
        return {}
    if not isinstance(content, dict) or "names" not in content:
        return {}
    if "kpt_shape" in content:
        raise DataError(f"{path}: labels with keypoints; expected boxes or outlines alone")
    names = content["names"]
    try:
        pairs = enumerate(names) if isinstance(names, list) else dict(names or {}).items()
        return {int(number): str(name).strip() for number, name in pairs}
    except (ValueError, TypeError):
        raise DataError(f"{path}: names must be a list, or numbers with names") from None
