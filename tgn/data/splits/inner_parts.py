"""Class folders that hold their own parts: ``DATA/<class>/train/*`` and ``DATA/<class>/test/*``."""

from pathlib import Path, PurePosixPath

from tgn.data.split import Part
from tgn.data.splits.layout import Files
from tgn.data.splits.part_names import part_called
from tgn.runtime.errors import DataError


def are_parted(root: Path, files: Files) -> bool:
    """Return whether the class folders hold folders of parts, and nothing else.

    One with a folder ``train`` alone may be a class with folders of its own: some class must have
    a training and another part.

    Args:
        root: the data folder.
        files: of each class folder, relative to ``root``.

    Raises:
        DataError: if some classes hold parts and others hold images of no part.
    """
    parts_of = {name: {_part_of(file) for file in inside} for name, inside in files.items()}
    parted = [name for name, parts in parts_of.items() if parts and None not in parts]
    if not any("train" in parts_of[name] and len(parts_of[name]) > 1 for name in parted):
        return False
    whole = [name for name, parts in parts_of.items() if None in parts]
    if whole:
        raise DataError(
            f"{root}: class {parted[0]!r} holds the folders of its parts, but {whole[0]!r} holds "
            "images outside such folders; give every class train/ and test/, or none"
        )
    return True


def parts_in_classes(files: Files) -> dict[Part, Files]:
    """Return the files of parted class folders by part and class."""
    parts: dict[Part, Files] = {}
    for name, inside in files.items():
        for file in inside:
            if (part := _part_of(file)) is not None:
                parts.setdefault(part, {}).setdefault(name, []).append(file)
    return parts


def _part_of(file: str) -> Part | None:
    folders = PurePosixPath(file).parts[1:-1]  # below that of the class
    return part_called(folders[0]) if folders else None
