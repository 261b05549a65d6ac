"""Detection labels in three file formats, read into one form."""

import json
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tgn.core.errors import DataError, NotFoundError
from tgn.core.images import SUFFIXES

Polygon = tuple[tuple[float, float], ...]  # corners (x, y) in pixels
LEAST_AREA = 1e-3  # square pixels
DOTA_HEADERS = ("imagesource", "gsd")


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


class _Reader:
    """Collects labels of one source, checking each against its image."""

    def __init__(self, images: Path) -> None:
        self.images, self.found = images, Detections()
        self.sizes: dict[Path, tuple[int, int]] = {}
        self._by_stem = {
            path.stem: path for path in sorted(images.iterdir()) if path.suffix.lower() in SUFFIXES
        }

    def find(self, name: str) -> Path | None:
        """Return the image file of a name or stem, or None."""
        plain = Path(name).name
        exact = self.images / plain
        return exact if exact.is_file() else self._by_stem.get(Path(plain).stem)

    def image(self, name: str, where: str) -> Path | None:
        """Return the image file of a name or stem, noting its size, or None with a problem."""
        path = self.find(name)
        if path is None:
            self.found.problems.append(f"{where}: no image {Path(name).name!r} in {self.images}")
            return None
        if path not in self.sizes:
            try:
                with Image.open(path) as picture:
                    self.sizes[path] = picture.size
            except (UnidentifiedImageError, OSError):
                self.found.problems.append(f"{where}: {path} is not an image")
                return None
        return path

    def add(self, found: DetectedObject, where: str) -> None:
        """Keep an object, unless there is something wrong with it."""
        if problem := self._problem_of(found):
            self.found.problems.append(f"{where}: {problem}")
        else:
            self.found.objects.append(found)

    def _problem_of(self, found: DetectedObject) -> str:
        name, (width, height) = found.class_name, self.sizes[found.image]
        if not name.strip() or name in (".", "..") or set("/\\") & set(name):
            return f"class {name!r} cannot name a folder"
        if not all(math.isfinite(value) for corner in found.polygon for value in corner):
            return "expected finite numbers"
        if _area(found.polygon) < LEAST_AREA:
            return "zero area: its corners lie on a line, or not in their order round it"
        left, top, right, bottom = found.box_xyxy
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            return f"outside its {width}x{height} image"
        return ""


def upright(left: float, top: float, right: float, bottom: float) -> Polygon:
    """The corners of an upright box."""
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _area(polygon: Polygon) -> float:
    """Of a polygon that does not cross itself, in pixels."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(polygon, following, strict=True))) / 2


def read_annotations(labels: Path, images: Path) -> Detections:
    """Read COCO (a .json file), DOTA labelTxt (a folder of .txt) or Pascal VOC (.xml).

    Images without any labels are read where the folder of labels is that of the images.

    Raises:
        NotFoundError: if labels or images are not there.
        DataError: if the labels are in none of the three formats.
    """
    if not images.is_dir():
        raise NotFoundError(f"no image folder {images}")
    reader = _Reader(images)
    files, read = _sources(labels, images)
    for file in files:
        read(file, reader)
    reader.found.images = sorted(reader.sizes)
    return reader.found


def _sources(labels: Path, images: Path) -> tuple[list[Path], Callable[[Path, _Reader], None]]:
    """The files that are read, and how each is."""
    if labels.is_file() and labels.suffix.lower() == ".json":
        return [labels], _read_coco
    for suffix, read in ((".txt", _read_dota), (".xml", _read_voc)):
        if files := sorted(labels.glob(f"*{suffix}")):
            return files, read
    if labels.resolve() == images.resolve():
        return sorted(images.iterdir()), _read_unlabelled
    raise NotFoundError(
        f"no labels in {labels}: expected a COCO .json, or a folder of DOTA .txt or VOC .xml"
    )


def _read_unlabelled(file: Path, reader: _Reader) -> None:
    if file.suffix.lower() in SUFFIXES:
        reader.image(file.name, str(file))


def _read_coco(file: Path, reader: _Reader) -> None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        classes = {row["id"]: str(row["name"]) for row in data["categories"]}
        names = {row["id"]: str(row["file_name"]) for row in data["images"]}
        rows = list(data["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no COCO file: {error!r}") from None
    for number, name in names.items():
        reader.image(name, f"{file} image {number}")
    missing = {name for name in names.values() if reader.find(name) is None}
    for number, row in enumerate(rows):
        where = f"{file} annotation {row.get('id', number)}"
        try:
            x, y, width, height = (float(value) for value in row["bbox"])
            class_name, name = classes[row["category_id"]], names[row["image_id"]]
        except (KeyError, ValueError, TypeError) as error:
            reader.found.problems.append(f"{where}: {error!r}")
            continue
        image = None if name in missing else reader.image(name, where)
        if image:
            corners, is_crowd = upright(x, y, x + width, y + height), bool(row.get("iscrowd"))
            reader.add(DetectedObject(image, class_name, corners, is_crowd, is_crowd), where)


def _read_dota(file: Path, reader: _Reader) -> None:
    image: Path | None = None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        words, where = line.split(), f"{file} line {number}"
        if not words or words[0].split(":")[0].lower() in DOTA_HEADERS:
            continue
        try:
            x1, y1, x2, y2, x3, y3, x4, y4 = map(float, words[:8])
            class_name, difficult = words[8], len(words) > 9 and words[9] == "1"
        except (ValueError, IndexError):
            reader.found.problems.append(f"{where}: expected x1 y1 ... x4 y4 class [difficult]")
            continue
        image = image or reader.image(file.stem, where)
        if image is None:
            return
        corners = (x1, y1), (x2, y2), (x3, y3), (x4, y4)
        reader.add(DetectedObject(image, class_name, corners, difficult), where)
    if image is None:  # a file without objects: an image that shows none
        reader.image(file.stem, str(file))


def _read_voc(file: Path, reader: _Reader) -> None:
    try:
        root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    except ElementTree.ParseError as error:
        reader.found.problems.append(f"{file}: not XML: {error}")
        return
    image = reader.image(root.findtext("filename") or file.stem, str(file))
    if image is None:
        return
    for number, element in enumerate(root.iter("object"), start=1):
        where = f"{file} object {number}"
        try:
            corners = upright(*_voc_box(element))
        except ValueError:
            reader.found.problems.append(f"{where}: bndbox is not four numbers")
            continue
        name, difficult = element.findtext("name") or "", element.findtext("difficult") == "1"
        reader.add(DetectedObject(image, name, corners, difficult), where)


def _voc_box(element: ElementTree.Element) -> Iterator[float]:
    texts = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if any(text is None for text in texts):
        raise ValueError("incomplete")
    return iter([float(text or "") for text in texts])
