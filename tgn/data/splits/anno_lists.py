"""Lists of images with their labels, as published: ``anno/*_train.txt`` and ``*_test.txt``."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tgn.data.hidden_files import is_hidden
from tgn.data.image_files import FoundImages, images_below, visible_folders
from tgn.data.split import Part
from tgn.data.splits.layout import Files, Layout, layout_of_parts, require_folder_name
from tgn.data.splits.part_names import part_ending
from tgn.runtime.errors import DataError, ListedProblemsError
from tgn.runtime.names import leads_outside
from tgn.runtime.text_files import read_text

ANNO = "anno"


class ListLine(NamedTuple):
    """One line of a list."""

    where: str  # file and line, for messages
    path: str  # of the image, as written, "/" between its parts
    label: str


@dataclass
class AnnoList:
    """One list."""

    file: Path
    part: Part
    lines: list[ListLine]


def find_lists(root: Path) -> dict[Part, list[Path]]:
    """Return the lists of each part, in ``anno/`` or a folder in it; empty if none is of training.

    Raises:
        DataError: if several folders in ``anno/`` hold lists: of which data set is not known.
    """
    if found := _lists_in(root / ANNO):
        return found
    inner = {folder.name: _lists_in(folder) for folder in visible_folders(root / ANNO)}
    inner = {name: found for name, found in inner.items() if found}
    if len(inner) > 1:
        names = list(inner)
        raise DataError(
            f"{root / ANNO} holds lists of {len(inner)} data sets, in {', '.join(names)}; move the "
            f"folders of all but one away, or put the lists of {names[0]} directly into {ANNO}/"
        )
    return next(iter(inner.values()), {})


def _lists_in(folder: Path) -> dict[Part, list[Path]]:
    found: dict[Part, list[Path]] = {}
    for file in sorted(folder.glob("*.txt")):
        part = part_ending(file.stem)
        if part is not None and not is_hidden(file.name):
            found.setdefault(part, []).append(file)
    return found if "train" in found else {}


def annotated(root: Path, files: dict[Part, list[Path]], folders: dict[Part, Path]) -> Layout:
    """Read lists: lines ``relative/path label``.

    Paths are relative to ``root``, to the folder of the list's part (as TGN publishes them), to
    another folder in ``root`` (as T2FTS has them, up to three deep), or begin with the name of
    ``root`` itself: whichever folder has most of a list's files.

    Args:
        root: the data folder.
        files: the lists of each part.
        folders: the folders of the parts.

    Raises:
        ListedProblemsError: for lines that cannot be used; names each with its file and line.
    """
    notes, problems, lists = _unread(files), list[str](), list[AnnoList]()
    for part, paths in files.items():
        for path in paths:
            read = AnnoList(path, part, _read_lines(path, notes, problems))
            base = _base(root, read, folders)
            if base != root:
                shown = base.name if base == root.parent else base.relative_to(root).as_posix()
                notes.append(f"paths in {path.name} are relative to {shown}/")
            read.lines = [_located(root, base, line, problems) for line in read.lines]
            lists.append(read)
    _check_labels(lists, problems)
    if problems:
        raise ListedProblemsError(f"the lists in {root / ANNO}", problems)
    layout = layout_of_parts(root, _by_class(lists))
    layout.notes = notes
    _count_unlisted(layout)
    return layout


def _unread(files: dict[Part, list[Path]]) -> list[str]:
    """Return a note of the text files beside the lists that are of no part by their names."""
    read = [path for paths in files.values() for path in paths]
    beside = sorted(read[0].parent.glob("*.txt"))
    names = [path.name for path in beside if path not in read and not is_hidden(path.name)]
    return [f"not read, since the name ends with no part: {', '.join(names)}"] if names else []


def _read_lines(file: Path, notes: list[str], problems: list[str]) -> list[ListLine]:
    text, encoding = read_text(file)
    if encoding:
        notes.append(f"{file.name} is no UTF-8 text: read as {encoding}")
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip().rsplit(None, 1)
        where = f"{file.name} line {number}"
        if len(words) == 2:
            require_folder_name(words[1], where)
            path = words[0].replace("\\", "/")
            lines.append(ListLine(where, PurePosixPath(path).as_posix(), words[1]))
        elif words:
            problems.append(f"{where}: got {line!r}, expected 'relative/path label'")
    return lines


def _base(root: Path, read: AnnoList, folders: dict[Part, Path]) -> Path:
    """Return the folder that has most of a list's files; of equal ones the first."""
    own = [folders[read.part]] if read.part in folders else []
    others = [path for path in visible_folders(root) if path not in folders.values()]
    bases = [root, *own, *(path for path in others if path.name != ANNO), root.parent]

    def found(base: Path) -> int:
        inside = (line for line in read.lines if not _leads_outside(root, base, line.path))
        return sum((base / line.path).is_file() for line in inside)

    for base in bases:  # most often the first has all
        if found(base) == len(read.lines):
            return base
    best = max(bases, key=found)
    if not found(best):
        best = max([best, *_deeper(root, read.part)], key=found)
    return best


def _deeper(root: Path, part: Part) -> list[Path]:
    """Return the folders two and three levels below ``root``, those below the part's own first."""
    first = [path for path in visible_folders(root) if path.name != ANNO]
    second = [inner for path in first for inner in visible_folders(path)]
    deeper = [*second, *(inner for path in second for inner in visible_folders(path))]

    def is_elsewhere(path: Path) -> bool:
        return all(part_ending(name) != part for name in path.relative_to(root).parts)

    return sorted(deeper, key=is_elsewhere)


def _leads_outside(root: Path, base: Path, path: str) -> bool:
    parts = PurePosixPath(path).parts
    if leads_outside(path):
        return True
    return base == root.parent and parts[:1] != (root.name,)


def _located(root: Path, base: Path, line: ListLine, problems: list[str]) -> ListLine:
    """Return the line with its path relative to ``root``; a path without an image is a problem."""
    if _leads_outside(root, base, line.path):
        problems.append(f"{line.where}: {line.path!r} leads outside the data folder")
        return line
    file = base / line.path
    if file.is_dir():
        problems.append(f"{line.where}: {line.path} is a folder, expected an image file")
    elif not file.is_file():
        problems.append(f"{line.where}: no file {line.path} in {base}")
    return line._replace(path=file.relative_to(root).as_posix())


def _check_labels(lists: Iterable[AnnoList], problems: list[str]) -> None:
    """Name the lines that give a file another label than an earlier line does."""
    first: dict[str, ListLine] = {}
    for line in (line for read in lists for line in read.lines):
        known = first.setdefault(line.path, line)
        if known.label != line.label:
            problems.append(
                f"{line.where}: {line.path} has label {line.label}, but {known.label} in "
                f"{known.where}"
            )


def _by_class(lists: list[AnnoList]) -> dict[Part, Files]:
    folder_of = _folders_of_labels(line for read in lists for line in read.lines)
    parts: dict[Part, Files] = {}
    for part in dict.fromkeys(read.part for read in lists):
        lines = {(one.path, one.label) for read in lists if read.part == part for one in read.lines}
        classes = parts.setdefault(part, {})
        for path, label in sorted(lines):
            classes.setdefault(folder_of[label], []).append(path)
    return parts


def _folders_of_labels(lines: Iterable[ListLine]) -> dict[str, str]:
    """Return label -> folder name where folders and labels pair off, else the label itself."""
    seen: dict[str, set[str]] = {}
    for line in lines:
        seen.setdefault(line.label, set()).add(PurePosixPath(line.path).parent.name)
    folders = [next(iter(names)) for names in seen.values() if len(names) == 1]
    if len(folders) == len(seen) == len(set(folders)) and all(folders):
        return {label: next(iter(names)) for label, names in seen.items()}
    return {label: label for label in seen}


def _count_unlisted(layout: Layout) -> None:
    listed = set(layout.files)
    below = images_below(layout.root)
    found = layout.take(FoundImages(below.images, below.broken))
    layout.leave_out([file for file in found if file not in listed], "in no list of anno/")
