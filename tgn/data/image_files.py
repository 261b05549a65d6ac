"""Which files below a folder are images of a data set, and why the others are not."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.hidden_files import is_hidden
from tgn.data.images import SUFFIXES

HIDDEN = "hidden"
SHOWN = 3  # names that a line about left out files gives


@dataclass
class FoundImages:
    """What was found below a folder.

    Attributes:
        images: the files, sorted.
        left_out: (file, reason).
    """

    images: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder that may hold data, sorted; links count.

    A folder that does not exist has none.
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def images_below(folder: Path, hidden: bool = False) -> FoundImages:
    """Find the images at any depth below a folder; links to files and folders are followed.

    Args:
        folder: whatever its own name is.
        hidden: whether all in it is, and is left out.
    """
    found = FoundImages()
    _walk(folder, frozenset(), hidden, found)
    found.images.sort()
    return found


def images_directly_in(folder: Path) -> FoundImages:
    """Find the images directly in a folder; files of other suffixes are not counted there."""
    found = FoundImages()
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            _add(path, False, found)
    return found


def printable(name: str) -> str:
    r"""Return a file's name with bytes that are not UTF-8 as "\xff"."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def left_out_notes(left_out: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line a reason: how many files were left out for it, and the first names."""
    by_reason: dict[str, list[str]] = {}
    for file, reason in left_out:
        by_reason.setdefault(reason, []).append(file)
    return [
        f"{reason}: {len(files)} left out, e.g. {', '.join(files[:SHOWN])}"
        for reason, files in by_reason.items()
    ]


def _walk(
    folder: Path, above: frozenset[tuple[int, int]], hidden: bool, found: FoundImages
) -> None:
    try:
        place = folder.stat()
        paths = sorted(folder.iterdir())
    except OSError as error:
        found.left_out.append((folder, f"folder cannot be read: {error.strerror}"))
        return
    identity = (place.st_dev, place.st_ino)
    if identity in above:
        found.left_out.append((folder, "link to a folder that holds it"))
        return
    for path in paths:
        if path.is_dir():
            _walk(path, above | {identity}, hidden or is_hidden(path.name), found)
        else:
            _add(path, hidden, found)


def _add(path: Path, hidden: bool, found: FoundImages) -> None:
    hidden = hidden or is_hidden(path.name)
    is_image = path.suffix.lower() in SUFFIXES
    if hidden and not is_image:  # .DS_Store and the like
        return
    if reason := _reason(path, hidden, is_image):
        found.left_out.append((path, reason))
    else:
        found.images.append(path)


def _reason(path: Path, hidden: bool, is_image: bool) -> str:
    """Return why a file is no image of the set, "" if it is one."""
    if hidden:
        return HIDDEN
    if not is_image:
        return f"suffix {printable(path.suffix) or 'none'} is not read"
    if not os.access(path, os.F_OK):
        return "link to a file that is gone"
    if not path.is_file():
        return "no regular file"
    return "" if printable(str(path)) == str(path) else "name is not UTF-8 text"
