"""The images of a folder, found by the names that labels give them."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tgn.data.images import SUFFIXES


class ImageIndex:
    """Finds images at any depth; hidden files and folders are no data.

    Args:
        root: the folder of the images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for path in _visible_files(root):
            self._by_name[path.name].append(path)
            if path.suffix.lower() in SUFFIXES:
                self._by_stem[path.stem].append(path)

    def find(self, name: str) -> list[Path]:
        """Return the files that a name fits best: one, none, or several alike.

        A file fits if its name is that one (or its stem, the suffix being another), and its folders
        and those of the name end alike. A backslash separates folders too, as Windows writes them,
        and the first folders of the name may be unknown here.

        Args:
            name: of an image, with or without folders and suffix.
        """
        folders, last = split_name(name)
        own = Path(last)
        stem = own.stem if own.suffix.lower() in SUFFIXES else last  # P1__0.5__0 is a stem
        fitting: dict[Path, tuple[bool, int]] = {}
        for path in self._by_name.get(last) or self._by_stem.get(stem, []):
            there = path.relative_to(self.root).parts[:-1]
            shared = min(len(there), len(folders))
            if there[len(there) - shared :] == folders[len(folders) - shared :]:
                fitting[path] = (there == folders, shared)
        best = max(fitting.values(), default=None)
        return [path for path, fit in fitting.items() if fit == best]


def split_name(name: str) -> tuple[tuple[str, ...], str]:
    """Return the folders of a file's name, separated by ``/`` or backslashes, and its last part."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return (tuple(parts[:-1]), parts[-1]) if parts else ((), "")


def _visible_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))
