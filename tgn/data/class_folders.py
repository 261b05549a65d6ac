"""Which class a subfolder of generated images means, where no manifest says it."""

from pathlib import Path
from typing import NamedTuple

from tgn.data.image_files import images_directly_in, visible_folders
from tgn.data.split import Split
from tgn.runtime.errors import UserError

TAIL, CLASS = "tail-", "class-"  # before a number that could be either


class ClassFolders(NamedTuple):
    """The subfolders with images, by class."""

    label_of: dict[str, int]  # subfolder -> class index
    note: str = ""  # what was assumed of their names, one line


def pictures(folder: Path) -> list[Path]:
    """Return the image files directly in a folder, sorted; hidden ones are none.

    Raises:
        DataError: if a file that should be one cannot be read.
    """
    return images_directly_in(folder).whole()


def class_folders(folder: Path, split: Split) -> ClassFolders:
    """Return the class of each subfolder that holds images, by its name.

    A name is that of a class folder of the run, or ``class-NAME``, or ``tail-K`` for the K-th tail
    class (0 = its largest). If every name is a number from 0 to T - 1 (T tail classes) and none is
    a class folder's, the numbers are positions in the tail, as published code writes them.

    Raises:
        UserError: for a name that is none of these, or a number that could be both.
    """
    names = [path.name for path in visible_folders(folder) if pictures(path)]
    known = {entry.folder: label for label, entry in enumerate(split.classes)}
    label_of = {name: label for name in names if (label := _label(name, split, known)) is not None}
    numbers = {name: _tail_class(name, split) for name in names}
    tail = {name: label for name, label in numbers.items() if label is not None}
    if names and len(tail) == len(names):
        if not label_of:
            return ClassFolders(tail, _note(folder, tail, split))
        if label_of != tail:
            raise UserError(_ambiguous(folder, names[0]))
    if unknown := [name for name in names if name not in label_of]:
        raise UserError(
            f"{folder} has images in folder {unknown[0]!r}, which is no class of the run; it has: "
            f"{', '.join(known)}; rename the folder ({TAIL}0: the first tail class), or move it "
            "away"
        )
    return ClassFolders(label_of)


def _label(name: str, split: Split, known: dict[str, int]) -> int | None:
    """Return the class that a name means for certain."""
    if name in known:
        return known[name]
    if name.startswith(TAIL):
        return _tail_class(name.removeprefix(TAIL), split)
    return known.get(name.removeprefix(CLASS))


def _tail_class(number: str, split: Split) -> int | None:
    """Return the class at a position in the tail, given as digits."""
    is_one = number.isdecimal() and int(number) < len(split.tail_classes)
    return split.tail_classes[int(number)] if is_one else None


def _note(folder: Path, tail: dict[str, int], split: Split) -> str:
    meant = [f"{name} = {split.classes[label].folder}" for name, label in tail.items()]
    return f"{folder}: folders are taken for positions in the tail: {', '.join(meant)}"


def _ambiguous(folder: Path, name: str) -> str:
    return (
        f"{folder}: folder {name!r} may be the class folder {name!r} or position {name} in the "
        f"tail; rename all such folders, to {CLASS}{name} or {TAIL}{name}"
    )
