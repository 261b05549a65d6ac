"""Detection labels in three file formats, read into one form."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tgn.core.errors import DataError, NotFoundError
from tgn.core.images import SUFFIXES

DOTA_HEADERS = ("imagesource", "gsd")


@dataclass(frozen=True)
class DetectedObject:
    """One labelled object."""

    image: Path
    class_name: str
    polygon: tuple[tuple[float, float], ...]  # corners (x, y) in pixels
    difficult: bool

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

    def add(
        self, image: Path, class_name: str, numbers: list[float], difficult: bool, where: str
    ) -> None:
        """Add a polygon x1 y1 x2 y2 ... unless it is empty or misses its image."""
        polygon = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        found = DetectedObject(image, class_name, polygon, difficult)
        left, top, right, bottom = found.box_xyxy
        width, height = self.sizes[image]
        if not class_name.strip() or class_name in (".", "..") or set("/\\") & set(class_name):
            self.found.problems.append(f"{where}: class {class_name!r} cannot name a folder")
        elif not (right - left > 0 and bottom - top > 0):
            self.found.problems.append(f"{where}: zero area")
        elif right <= 0 or bottom <= 0 or left >= width or top >= height:
            self.found.problems.append(f"{where}: outside its {width}x{height} image")
        else:
            self.found.objects.append(found)


def read_annotations(labels: Path, images: Path) -> Detections:
    """Read COCO (a .json file), DOTA labelTxt (a folder of .txt) or Pascal VOC (.xml).

    Raises:
        NotFoundError: if labels or images are not there.
        DataError: if the labels are in none of the three formats.
    """
    if not images.is_dir():
        raise NotFoundError(f"no image folder {images}")
    reader = _Reader(images)
    if labels.is_file() and labels.suffix.lower() == ".json":
        _read_coco(labels, reader)
    elif labels.is_dir() and sorted(labels.glob("*.txt")):
        for file in sorted(labels.glob("*.txt")):
            _read_dota(file, reader)
    elif labels.is_dir() and sorted(labels.glob("*.xml")):
        for file in sorted(labels.glob("*.xml")):
            _read_voc(file, reader)
    else:
        raise NotFoundError(
            f"no labels in {labels}: expected a COCO .json, or a folder of DOTA .txt or VOC .xml"
        )
    reader.found.images = sorted(reader.sizes)
    return reader.found


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
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            reader.add(image, class_name, corners, bool(row.get("iscrowd")), where)


def _read_dota(file: Path, reader: _Reader) -> None:
    image: Path | None = None
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        words, where = line.split(), f"{file} line {number}"
        if not words or words[0].split(":")[0].lower() in DOTA_HEADERS:
            continue
        try:
            corners = [float(word) for word in words[:8]]
            class_name, difficult = words[8], len(words) > 9 and words[9] == "1"
        except (ValueError, IndexError):
            reader.found.problems.append(f"{where}: expected x1 y1 ... x4 y4 class [difficult]")
            continue
        image = image or reader.image(file.stem, where)
        if image is None:
            return
        reader.add(image, class_name, corners, difficult, where)
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
            left, top, right, bottom = _voc_box(element)
        except ValueError:
            reader.found.problems.append(f"{where}: bndbox is not four numbers")
            continue
        corners = [left, top, right, top, right, bottom, left, bottom]
        difficult = element.findtext("difficult") == "1"
        reader.add(image, element.findtext("name") or "", corners, difficult, where)


def _voc_box(element: ElementTree.Element) -> Iterator[float]:
    texts = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if any(text is None for text in texts):
        raise ValueError("incomplete")
    return iter([float(text or "") for text in texts])
