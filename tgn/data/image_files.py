"""Which files below a folder are images of a data set, and why the others are not.

Everything that looks for images finds them here: splits, predictions, scores, labelled images.
"""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tgn.data.hidden_files import is_hidden
from tgn.data.images import SUFFIXES
from tgn.runtime.errors import DataError

HIDDEN = "hidden"
OTHER_SUFFIX = "suffix {} is not read"
GONE = "link to a file that is gone"
CIRCLE = "link to a folder that holds it"
READ_BEFORE = "folder that another link has led to"
SHOWN = 3  # names that a line about left out files gives

Identity = tuple[int, int]  # device and number of a folder


@dataclass
class FoundImages:
    """What was found below a folder.

    Attributes:
        images: the files, sorted.
        left_out: (file, reason).
    """

    images: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def broken(self) -> list[tuple[Path, str]]:
        """Of what is left out, what should be an image or a folder of them and cannot be read."""
        other_suffix = OTHER_SUFFIX.split("{}")[0]
        return [
            (path, reason)
            for path, reason in self.left_out
            if not (reason in (HIDDEN, CIRCLE, READ_BEFORE) or reason.startswith(other_suffix))
        ]

    def whole(self) -> list[Path]:
        """Return the images of a set that must not lack any.

        Raises:
            DataError: if a file that should be one cannot be read; names it.
        """
        if broken := self.broken:
            path, reason = broken[0]
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise DataError(f"{path}{more}: {reason}; remove or replace it")
        return self.images


class _Place(NamedTuple):
    """What a path leads to."""

    state: os.stat_result | None  # None: nothing that can be reached
    problem: str = ""

    @property
    def is_folder(self) -> bool:
        return self.state is not None and stat.S_ISDIR(self.state.st_mode)


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; False also where that cannot be found out."""
    return _place(path).is_folder


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders directly in a folder that may hold data, sorted; links count.

    A folder that does not exist has none.
    """
    if not is_folder(folder):
        return []
    return sorted(path for path in folder.iterdir() if is_folder(path) and not is_hidden(path.name))


def images_below(folder: Path, hidden: bool = False) -> FoundImages:
    """Find the images at any depth below a folder; links to files and folders are followed.

    A folder is read once, and one that holds ``folder`` not at all, wherever links lead.

    Args:
        folder: whatever its own name is.
        hidden: whether all in it is, and is left out.
    """
    found = FoundImages()
    above = (*folder.absolute().parents, *folder.resolve().parents)
    seen = {_identity(one) for one in above}
    waiting = [(folder, hidden)]
    while waiting:  # a stack of our own: folders may be nested deeper than calls may
        path, hidden = waiting.pop()
        if (identity := _identity(path)) in seen:
            holds_it = identity in {_identity(one) for one in (*path.parents, *above)}
            found.left_out.append((path, CIRCLE if holds_it else READ_BEFORE))
            continue
        seen.add(identity)
        try:
            inside = sorted(path.iterdir(), reverse=True)
        except OSError as error:
            found.left_out.append((path, f"folder cannot be read: {error.strerror}"))
            continue
        for one in inside:
            place = _place(one)
            if place.is_folder:
                waiting.append((one, hidden or is_hidden(one.name)))
            else:
                _add(one, place, hidden, found)
    found.images.sort()
    found.left_out.sort()
    return found


def images_directly_in(folder: Path) -> FoundImages:
    """Find the images directly in a folder; files of other suffixes are not counted there.

    Links that lead nowhere are, of any name: they may have been folders of images.
    """
    found = FoundImages()
    for path in sorted(folder.iterdir()):
        place = _place(path)
        if not place.is_folder and (place.problem or path.suffix.lower() in SUFFIXES):
            _add(path, place, False, found)
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


def _place(path: Path) -> _Place:
    try:
        return _Place(path.stat())
    except FileNotFoundError:
        return _Place(None, GONE)
    except ValueError:  # a name with "\0", which the system does not take
        return _Place(None, "no name of a file")
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _Place(None, "link that leads to itself")
        return _Place(None, f"cannot be reached: {error.strerror}")


def _identity(folder: Path) -> Identity | Path:
    """Return what tells a folder from every other, whatever links lead to it."""
    state = _place(folder).state
    return folder if state is None else (state.st_dev, state.st_ino)


def _add(path: Path, place: _Place, hidden: bool, found: FoundImages) -> None:
    hidden = hidden or is_hidden(path.name)
    if hidden and path.suffix.lower() not in SUFFIXES:  # .DS_Store and the like
        return
    if reason := HIDDEN if hidden else _reason(path, place):
        found.left_out.append((path, reason))
    else:
        found.images.append(path)


def _reason(path: Path, place: _Place) -> str:
    """Return why a file is no image of the set, "" if it is one."""
    is_other = path.suffix.lower() not in SUFFIXES
    if place.state is None and not (path.suffix and is_other):  # it may have been a folder
        return place.problem
    if place.state is None or is_other:
        return OTHER_SUFFIX.format(printable(path.suffix) or "none")
    if not stat.S_ISREG(place.state.st_mode):
        return "no regular file"
    return "" if printable(str(path)) == str(path) else "name is not UTF-8 text"
