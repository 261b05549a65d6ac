"""The split: class order, head and tail, and the images that train, validate and test."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from tgn.data.sample_range import SampleRange
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_model, write_json
from tgn.runtime.names import InnerPath

if TYPE_CHECKING:  # torch and numpy are imported when images are read: --help must not wait for it
    from tgn.data.image_set import ImageSet

Part = Literal["train", "val", "test"]

ALL, EVERY = "all", "every"  # of the classes to generate: the whole tail; the head too
FOLDER = "folder:"  # before a class folder whose number would else be a place in the tail


class ClassEntry(BaseModel):
    """One class: its folder, its name for people and prompts, and its counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: InnerPath
    name: str
    train: int
    val: int
    test: int


class Split(BaseModel):
    """The content of ``split.json``; class index = position in ``classes``, largest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str  # the data folder, relative to the run directory
    classes: tuple[ClassEntry, ...]
    num_head: int
    train: tuple[tuple[InnerPath, int], ...]
    val: tuple[tuple[InnerPath, int], ...]
    test: tuple[tuple[InnerPath, int], ...]
    left_out: tuple[tuple[str, str], ...] = ()  # (file, reason)
    repairs: dict[str, int] = {}  # what was converted on reading -> how many images
    notes: tuple[str, ...] = ()
    sample_range: SampleRange | None = None  # of 16-bit and float images; None: there are none
    groups: dict[str, int] = {}  # file -> number, the same of equal images and chips of one image
    conflicts: tuple[tuple[str, ...], ...] = ()  # sets of equal images in different classes
    checksums: dict[str, str] = {}  # file -> first 16 hexadecimal digits of its SHA-256

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def counts(self) -> list[int]:
        """Images a class the networks may learn from (without the validation part)."""
        return [entry.train for entry in self.classes]

    @property
    def head_classes(self) -> range:
        """Class indices of the head."""
        return range(self.num_head)

    @property
    def tail_classes(self) -> range:
        """Class indices of the tail, largest first."""
        return range(self.num_head, self.num_classes)

    @property
    def names(self) -> list[str]:
        """Names for people, in class order."""
        return [entry.name for entry in self.classes]

    def is_head(self, label: int) -> bool:
        """Return whether a class index is of the head."""
        return label < self.num_head

    @property
    def has_numbered_folders(self) -> bool:
        """Whether every class folder is called by a number, as in published data sets."""
        return all(entry.folder.isdecimal() for entry in self.classes)

    def class_called(self, given: str | int) -> int:
        """Return the index of a class by its folder's name, or by its position in the tail.

        A folder's own name counts first; where no folder has it, a whole number is the position
        in the tail (0 = its largest class, the published numbering). An ``int`` always is.

        Raises:
            UserError: for an unknown one, listing the valid choices.
        """
        folders = [entry.folder for entry in self.classes]
        head, tail = folders[: self.num_head], folders[self.num_head :]
        if given in folders:
            return folders.index(str(given))
        if str(given).isdecimal() and int(given) < len(tail):
            return self.num_head + int(given)
        choices = ", ".join(f"{i} = {folder}" for i, folder in enumerate(tail))
        raise UserError(
            f"no class {given!r}; valid: {choices}; head classes, by name: {', '.join(head)}"
        )

    def classes_called(self, given: str) -> tuple[int, ...]:
        """Return the class indices that a word of a command line means.

        It is ``all`` (the tail), ``every``, ``folder:NAME``, or a class as :meth:`class_called`
        takes it; but if all class folders are numbers, a number is a position in the tail as long
        as there is such a position. So it is published, for folders that are numbered too
        (``--folder_number`` of CDTG/generation.py); to take some numbers for folders and others
        for positions would draw some classes twice and others never.

        Raises:
            UserError: for an unknown class, listing the valid choices.
        """
        if given == EVERY:
            return (*self.tail_classes, *self.head_classes)
        if given == ALL:
            return tuple(self.tail_classes)
        folder = given.removeprefix(FOLDER)
        if folder != given:
            return (self._class_in(folder),)
        is_place = given.isdecimal() and int(given) < len(self.tail_classes)
        is_place = is_place and self.has_numbered_folders
        return (self.class_called(int(given) if is_place else given),)

    def _class_in(self, folder: str) -> int:
        folders = [entry.folder for entry in self.classes]
        if folder not in folders:
            raise UserError(f"no class folder {folder!r}; the run has: {', '.join(folders)}")
        return folders.index(folder)

    def image_set(self, part: Part, run_path: Path, size: int, bands: int = 3) -> "ImageSet":
        """Return the images of one part at ``size`` pixels."""
        import numpy as np

        from tgn.data.image_set import ImageSet, RelativePaths, checksum_from_hex
        from tgn.data.splits.folds import group_numbers

        root = (run_path / self.root).resolve()
        if not root.is_dir():
            raise NotFoundError(f"the run's data folder {root} is gone; put it back or split again")
        rows = getattr(self, part)
        names = [file for file, _ in rows]
        known = self.checksums
        checksums = (
            np.array([checksum_from_hex(known[name]) for name in names], np.uint64)
            if known
            else None
        )
        labels = [label for _, label in rows]
        images = ImageSet(RelativePaths(root, names), labels, size, bands, checksums=checksums)
        return images.in_range(self.sample_range).in_groups(group_numbers(names, self.groups))


def filling_up(counts: Sequence[int], num_head: int) -> list[int]:
    """Return how many generated images each class gets where no number is given.

    A tail class is filled up to the largest class. Each head class gets as many as a tail class on
    average: among generated images no class is then rare, and that an image is generated does not
    say that its class is.

    Args:
        counts: real images of each class, head classes first.
        num_head: number of head classes.
    """
    lacking = [max(counts) - count for count in counts]
    tail = lacking[num_head:]
    return [round(sum(tail) / max(len(tail), 1))] * num_head + tail


def write_split(path: Path, split: Split) -> None:
    """Write ``split.json``."""
    write_json(path, split.model_dump(mode="json"))


def read_split(path: Path) -> Split:
    """Read ``split.json``."""
    if not path.is_file():
        raise NotFoundError(f"no {path}; make the run with: tgn split DATA")
    return read_model(path, Split)
