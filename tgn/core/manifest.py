"""The record of generated images: one line of JSON an image."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, field_validator

from tgn.core.data import ImageSet
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import append_text, read_json_lines, sha256_of, write_text
from tgn.core.images import SUFFIXES
from tgn.core.split import Split

MANIFEST = "manifest.jsonl"
FILTERED = "manifest.filtered.jsonl"  # the rows that tgn filter or tgn app has kept


class ManifestRow(BaseModel):
    """What made one generated image; images of other generators lack most of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str  # relative to the manifest's folder, with "/"
    folder: str  # the class's folder name
    class_index: int
    index: int  # number of the image within its class
    seed: int = 0
    noise: float | None = None  # r in [0, 1]
    source: int = -1  # row of the feature bank
    source_file: str = ""  # the real training image of that row
    weights_sha256: str = ""
    sha256: str = ""  # of the image file

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value:
            raise ValueError("must be a relative path inside the folder")
        return value


def read_manifest(folder: Path) -> Iterator[ManifestRow]:
    """Yield the rows of ``folder/manifest.jsonl``, also of images that were filtered out.

    Raises:
        NotFoundError: if the folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"no {path}; make images with: tgn generate --class all")
    for row in read_json_lines(path):
        yield ManifestRow.model_validate(row)


def used_manifest(folder: Path) -> Path:
    """Return the file that says which images of a folder count: what was kept, else all."""
    filtered = folder / FILTERED
    return filtered if filtered.is_file() else folder / MANIFEST


def rows_in_use(folder: Path, split: Split) -> list[ManifestRow]:
    """Return the rows of a folder's images, without those that were filtered out.

    Raises:
        NotFoundError: if the folder has no images of the split's classes.
        UserError: if a row names a class that the split does not have.
    """
    if (folder / FILTERED).is_file():
        rows = [ManifestRow.model_validate(row) for row in read_json_lines(folder / FILTERED)]
    else:
        rows = all_rows(folder, split)
    known = {entry.folder for entry in split.classes}
    if unknown := sorted({row.folder for row in rows} - known):
        raise UserError(
            f"{used_manifest(folder)} has class {unknown[0]!r}, which the run does not; "
            f"it has: {', '.join(entry.folder for entry in split.classes)}"
        )
    return rows


def all_rows(folder: Path, split: Split) -> list[ManifestRow]:
    """Return the manifest's rows, or rows for the class folders of a folder that has none.

    Raises:
        NotFoundError: if there is neither.
    """
    if (folder / MANIFEST).is_file():
        return list(read_manifest(folder))
    rows = [
        ManifestRow(
            file=path.relative_to(folder).as_posix(),
            folder=entry.folder,
            class_index=label,
            index=index,
        )
        for label, entry in enumerate(split.classes)
        for index, path in enumerate(_pictures(folder / entry.folder))
    ]
    if not rows:
        raise NotFoundError(
            f"{folder} has no {MANIFEST} and no images in folders named as the run's classes; "
            "make images with: tgn generate --class all"
        )
    return rows


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def image_set(
    folder: Path, rows: Sequence[ManifestRow], split: Split, size: int, bands: int = 3
) -> ImageSet:
    """Return the images of manifest rows, labelled by the split's class order."""
    index_of = {entry.folder: k for k, entry in enumerate(split.classes)}
    labels = [index_of[row.folder] for row in rows]
    return ImageSet([folder / row.file for row in rows], labels, size, bands)


def fingerprint(folder: Path, split: Split) -> str:
    """Return a SHA-256 that changes with the set of images in use.

    Raises:
        NotFoundError: if there is no image.
    """
    rows, path = rows_in_use(folder, split), used_manifest(folder)
    if path.is_file():
        return sha256_of(path)
    lines = [f"{row.file} {(folder / row.file).stat().st_size}" for row in rows]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_filtered(folder: Path, kept: Sequence[ManifestRow]) -> None:
    """Write which rows count from now on; nothing is deleted."""
    write_text(folder / FILTERED, "".join(row.model_dump_json() + "\n" for row in kept))


class ManifestWriter:
    """Adds rows while images are written; a kill loses no row of a whole image for long.

    Each process appends to a part file of its own; :meth:`finish` joins the parts, sorted, into
    ``manifest.jsonl`` in one atomic step.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self._part = folder / f"manifest.part-{rank}.jsonl"

    def rows(self) -> dict[str, ManifestRow]:
        """Return the known rows whose image file is there, by file."""
        found = {}
        for path in [self.folder / MANIFEST, *sorted(self.folder.glob("manifest.part-*.jsonl"))]:
            if path.is_file():
                for line in read_json_lines(path):
                    row = ManifestRow.model_validate(line)
                    if (self.folder / row.file).is_file():
                        found[row.file] = row
        return found

    def append(self, rows: Sequence[ManifestRow]) -> None:
        """Add the rows of images that are on the disk."""
        if not rows:
            return
        append_text(self._part, "".join(row.model_dump_json() + "\n" for row in rows))

    def finish(self) -> None:
        """Join all parts into the manifest (main process, after all have written)."""
        self._replace(list(self.rows().values()))

    def forget(self, folders: Sequence[str]) -> None:
        """Delete the images of some classes and their rows."""
        rows = self.rows().values()
        self._replace([row for row in rows if row.folder not in folders])
        for row in rows:
            if row.folder in folders:
                (self.folder / row.file).unlink()

    def _is_written(self, text: str) -> bool:
        path = self.folder / MANIFEST
        return path.is_file() and path.read_text(encoding="utf-8") == text

    def _replace(self, rows: list[ManifestRow]) -> None:
        rows = sorted(rows, key=lambda row: (row.class_index, row.index))
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        # Another set of images: what was kept of the old one says nothing of it.
        if not self._is_written(text):
            (self.folder / FILTERED).unlink(missing_ok=True)
        write_text(self.folder / MANIFEST, text)
        for part in self.folder.glob("manifest.part-*.jsonl"):
            part.unlink()
