"""The usual names of the parts of a data set."""

import re
from pathlib import Path

from tgn.data.image_files import visible_folders
from tgn.data.split import Part
from tgn.runtime.errors import DataError

PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_PART_OF = {name: part for part, names in PART_NAMES.items() for name in names}
_FIRST_WORD = re.compile(r"[a-z]*")
_LAST_WORD = re.compile(r"(?:^|[_-])([a-z]+)$")


def part_called(name: str) -> Part | None:
    """Return the part that a folder of this name is by custom, in any case; None for others."""
    return _PART_OF.get(name.lower())


def part_beginning(name: str) -> Part | None:
    """Return the part whose name a file's name begins with: ``Train-0001.tar`` is training."""
    found = _FIRST_WORD.match(name.lower())
    return _PART_OF.get(found[0]) if found else None


def part_ending(stem: str) -> Part | None:
    """Return the part that a list's name ends with: ``DIOR_train`` and ``train`` are training."""
    found = _LAST_WORD.search(stem.lower())
    return _PART_OF.get(found[1]) if found else None


def part_folders(root: Path) -> dict[Part, Path]:
    """Return the folders of ``root`` that have the name of a part.

    Raises:
        DataError: if two folders would be one part.
    """
    found: dict[Part, Path] = {}
    for path in visible_folders(root):
        part = part_called(path.name)
        if part is None:
            continue
        if part in found:
            raise DataError(
                f"{root} has two folders for the part {part}: {found[part].name} and {path.name}; "
                "put their images into one"
            )
        found[part] = path
    return found
