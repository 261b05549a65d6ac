"""What was found in a data folder: image files by part and class folder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.image_files import FoundImages, printable
from tgn.data.split import Part
from tgn.runtime.errors import DataError
from tgn.runtime.names import leads_outside

Files = dict[str, list[str]]  # class folder -> image files


@dataclass
class Layout:
    """Image files by part and class folder; paths are relative to ``root``, with "/".

    Attributes:
        root: the data folder.
        train: images to learn from.
        test: None if the data has no test part of its own.
        val: None if it has no validation part of its own.
        names: class folder -> name for people.
        notes: lines for people.
        left_out: (file, reason) of files that are no images of the set.
    """

    root: Path
    train: Files
    test: Files | None = None
    val: Files | None = None
    names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def held_out(self) -> dict[Part, Files]:
        """The parts of its own beside training."""
        parts: dict[Part, Files | None] = {"val": self.val, "test": self.test}
        return {part: files for part, files in parts.items() if files is not None}

    @property
    def files(self) -> list[str]:
        """All image files, those of the training part first."""
        parts = (self.train, *self.held_out.values())
        return [file for part in parts for names in part.values() for file in names]

    def leave_out(self, files: Iterable[str], reason: str) -> None:
        """Record files that are left out."""
        self.left_out += [(file, reason) for file in files]

    def take(self, found: FoundImages) -> list[str]:
        """Return the names of found images, and record what was left out there."""
        self.left_out += [(printable(self._name(path)), why) for path, why in found.left_out]
        return [self._name(path) for path in found.images]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def layout_of_parts(root: Path, parts: dict[Part, Files]) -> Layout:
    """Return the layout of parts; those without an image are none."""

    def own(part: Part) -> Files | None:
        files = parts.get(part, {})
        return files if any(files.values()) else None

    return Layout(root, parts.get("train", {}), own("test"), own("val"))


def require_folder_name(label: str, where: str) -> None:
    """Refuse a label that would lead out of the folder in which images of its class are put."""
    if leads_outside(label) or "/" in label or "\\" in label:
        raise DataError(f"{where}: the label {label!r} cannot name a folder")
