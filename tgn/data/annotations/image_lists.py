"""Lists that choose some of the annotated images, as Pascal VOC's ``ImageSets`` have them."""

from dataclasses import dataclass
from pathlib import Path

from tgn.data.images import SUFFIXES
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.regular_files import read_regular

SEPARATOR = "@"  # of labels and their list
LABELS_OF_VOC = "Annotations"
CLASS_MARKS = ("-1", "0", "1")  # behind each name of a list of one class
SHOWN = 5  # names in a message


@dataclass(frozen=True)
class ImageList:
    """Names of images, with or without folders and suffix, and the file that lists them."""

    file: Path
    names: tuple[str, ...]  # at least one, each once

    def label_files(self, files: list[Path], labels: Path) -> list[Path]:
        """Return the label files, one an image, of the listed images.

        Args:
            files: all that there are.
            labels: their folder; or the one file, which is of all images.

        Raises:
            DataError: if an image has none.
        """
        if files == [labels]:
            return files
        stem_of = {name: _stem(name) for name in self.names}
        there = {file.stem for file in files}
        missing = [name for name, stem in stem_of.items() if stem not in there]
        self.check_none(missing, f"label in {labels}")
        listed = set(stem_of.values())
        return [file for file in files if file.stem in listed]

    def check_none(self, missing: list[str], what: str) -> None:
        """Refuse a list that names what is not there.

        Args:
            missing: those of its names.
            what: they lack, and where.

        Raises:
            DataError: with their number and the first of them.
        """
        if missing:
            first = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise DataError(
                f"{self.file}: {len(missing)} of its {len(self.names)} images have no {what}: "
                f"{first}"
            )


def labels_and_list(labels: Path) -> tuple[Path, ImageList | None]:
    """Return where the labels are, and the list that chooses among them, if one is named.

    Args:
        labels: labels alone; ``LABELS@LIST``; or a list alone, as VOC's
            ``ImageSets/Main/trainval.txt``: the labels are then in ``Annotations`` beside one of
            its folders.

    Raises:
        NotFoundError: if there is no list, or no labels for one.
        DataError: if the file is no list.
    """
    if labels.exists():
        if labels.is_file() and labels.suffix.lower() == ".txt":
            return _labels_beside(labels), read_image_list(labels)
        return labels, None
    where, separator, listed = str(labels).partition(SEPARATOR)
    if not separator:
        return labels, None
    file = Path(listed)
    if not file.is_file():
        raise NotFoundError(f"no list {file}: in LABELS{SEPARATOR}LIST, a file of image names")
    return Path(where), read_image_list(file)


def read_image_list(file: Path) -> ImageList:
    """Read one name a line.

    Raises:
        DataError: if there is none, or the lines say which images have a class.
    """
    try:
        lines = read_regular(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8; expected one image name a line") from None
    names = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not names:
        raise DataError(f"{file} lists no image; expected one name a line")
    marked = [words for name in names if len(words := name.split()) == 2]
    if len(marked) == len(names) and all(mark in CLASS_MARKS for _, mark in marked):
        raise DataError(
            f"{file} says which images have one class (1, 0 or -1 behind each name); "
            "take the list of all images, e.g. trainval.txt"
        )
    return ImageList(file, names)


def _labels_beside(file: Path) -> Path:
    """Return the folder of VOC labels that a list belongs to."""
    above = file.resolve().parents[1:3]  # ImageSets/Main/*.txt, or ImageSets/*.txt
    for folder in above:
        if (folder / LABELS_OF_VOC).is_dir():
            return folder / LABELS_OF_VOC
    raise NotFoundError(
        f"{file} is a list of images, and there is no {LABELS_OF_VOC} in {above[-1]}; "
        f"name the labels too: LABELS{SEPARATOR}{file}"
    )


def _stem(name: str) -> str:
    last = Path(name.replace("\\", "/"))
    return last.stem if last.suffix.lower() in SUFFIXES else last.name
