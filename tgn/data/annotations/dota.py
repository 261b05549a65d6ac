"""Annotation files of DOTA (labelTxt)."""

import re
from pathlib import Path

from tgn.data.annotations.collector import AnnotationCollector
from tgn.data.annotations.types import ObjectAnnotation
from tgn.runtime.regular_files import LABELS_BYTES, read_regular

ENCODING = "utf-8-sig"  # with or without a byte order mark
HEADERS = ("imagesource", "gsd")
FLAGS = ("0", "1", "2")  # difficult, the last word of a line
DECIMAL = re.compile(r"-?\d*\.\d+(e-?\d+)?")


def read_dota(file: Path, collector: AnnotationCollector) -> None:
    """Read one file: the labels of the image with its stem.

    A line is ``x1 y1 x2 y2 x3 y3 x4 y4 class [difficult]``; the class may be several words.
    """
    lines = read_regular(file, LABELS_BYTES).decode(ENCODING).splitlines()
    image = collector.image(file.stem, str(file))
    if image is None:
        return
    for number, line in enumerate(lines, start=1):
        words, where = line.split(), f"{file} line {number}"
        if not words or words[0].split(":")[0].lower() in HEADERS:
            continue
        try:
            x1, y1, x2, y2, x3, y3, x4, y4 = map(float, words[:8])
            name, difficult = _class(words[8:])
        except ValueError:
            collector.problem(where, "expected x1 y1 ... x4 y4 class [difficult]")
            continue
        if DECIMAL.fullmatch(name):
            collector.problem(
                where,
                f"class {name!r} is a number: expected x1 y1 ... x4 y4 class [difficult]; lines "
                "that begin with the class are read as YOLO's if all others are in 0 to 1",
            )
            continue
        corners = (x1, y1), (x2, y2), (x3, y3), (x4, y4)
        collector.add(ObjectAnnotation(image, name, corners, difficult), where)


def _class(words: list[str]) -> tuple[str, bool]:
    """Return the class and whether the object is difficult, from what follows the corners."""
    if not words:
        raise ValueError
    if len(words) > 1 and words[-1] in FLAGS:
        return " ".join(words[:-1]), words[-1] == "1"
    return " ".join(words), False
