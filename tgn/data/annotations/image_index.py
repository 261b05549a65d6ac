"""The images of a folder, found by the names that labels give them."""

from collections import defaultdict
from pathlib import Path

from tgn.data.image_files import images_below
from tgn.data.images import SUFFIXES


class ImageIndex:
    """Finds images at any depth, those that ``tgn split`` finds.

    Args:
        root: the folder of the images.

    Attributes:
        left_out: name of a file that is none of them -> why.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        found = images_below(root)
        self.left_out = {path.name: reason for path, reason in found.left_out}
        for path in found.images:
            self._by_name[path.name].append(path)
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
