"""The record of generated images: one line of JSON an image."""

import hashlib
import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from torch import Tensor

from tgn.data.class_folders import class_folders, pictures
from tgn.data.image_set import ImageSet, RelativePaths, checksum_from_hex
from tgn.data.shards import container_of, member_exists
from tgn.data.split import Split
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.files import append_text, atomic_path, read_json_lines, sha256_of, write_text
from tgn.runtime.names import InnerPath, OptionalInnerPath
from tgn.runtime.seals import sealed

MANIFEST = "manifest.jsonl"
FILTERED = "manifest.filtered.jsonl"  # the rows that tgn filter or tgn app has kept


def _json_object(text: str) -> str:
    if text and not isinstance(json.loads(text), dict):
        raise ValueError("expected settings as a JSON object")
    return text


class ManifestRow(BaseModel):
    """What made one generated image; images of other generators lack most of it.

    The source gives an image its features and, where any of its pixels stay, those. A generator
    may put parts of other training images in (CDTG of up to two, and above r = 1/2 of two others
    alone): they are ``other_files``. A judge that must not have seen what an image was made of
    leaves out the source and the others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: InnerPath  # relative to the manifest's folder, with "/"
    folder: OptionalInnerPath  # the class's folder name
    class_index: int
    index: int  # number of the image within its class
    seed: int = 0
    noise: float | None = None  # r in [0, 1]
    how: Annotated[str, AfterValidator(_json_object)] = ""  # the backend's other settings, as JSON
    source: int = -1  # row of the feature bank
    source_file: OptionalInnerPath = ""  # the real training image of that row
    other_files: tuple[InnerPath, ...] = ()  # more of them, parts of which are in the image
    view: int | None = Field(None, ge=0, le=7)  # symmetry in which the source was seen, `dihedral`
    weights_sha256: str = ""
    sha256: str = ""  # of the image file

    @property
    def origins(self) -> tuple[str, ...]:
        """The real images it was made of: the source, "" where it is not known, then others."""
        return self.source_file, *self.other_files


def read_manifest(folder: Path) -> Iterator[ManifestRow]:
    """Yield the rows of ``folder/manifest.jsonl``, also of images that were filtered out.

    Raises:
        NotFoundError: if the folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"no {path}; make images with: tgn generate --class all")
    yield from rows_of(path)


def active_manifest(folder: Path) -> Path:
    """Return the file that says which images of a folder count: what was kept, else all."""
    filtered = folder / FILTERED
    return filtered if filtered.is_file() else folder / MANIFEST


def active_rows(folder: Path, split: Split) -> Iterator[ManifestRow]:
    """Yield the rows of a folder's images, without those that were filtered out.

    Raises:
        NotFoundError: if the folder has no images of the split's classes.
        UserError: if a row names a class that the split does not have.
    """
    filtered, known = folder / FILTERED, {entry.folder for entry in split.classes}
    for row in rows_of(filtered) if filtered.is_file() else all_rows(folder, split):
        if row.folder not in known:
            raise UserError(
                f"{active_manifest(folder)} has class {row.folder!r}, which the run does not; "
                f"it has: {', '.join(entry.folder for entry in split.classes)}"
            )
        yield row


def all_rows(folder: Path, split: Split) -> Iterator[ManifestRow]:
    """Yield the manifest's rows, or rows for the class folders of a folder that has none.

    Raises:
        NotFoundError: if there is neither.
        UserError: for a subfolder that is no class, see :func:`class_folders`.
    """
    if (folder / MANIFEST).is_file():
        yield from read_manifest(folder)
        return
    label_of = class_folders(folder, split).label_of
    for name, label in sorted(label_of.items(), key=lambda item: item[1]):
        for index, path in enumerate(pictures(folder / name)):
            yield ManifestRow(
                file=path.relative_to(folder).as_posix(),
                folder=split.classes[label].folder,
                class_index=label,
                index=index,
            )
    if not label_of:
        raise NotFoundError(
            f"{folder} has no {MANIFEST} and no images in folders named as the run's classes; "
            "make images with: tgn generate --class all"
        )


def folder_note(folder: Path, split: Split) -> str:
    """Return what is assumed of the names of the class folders, in one line; else ""."""
    return "" if (folder / MANIFEST).is_file() else class_folders(folder, split).note


def rows_of(path: Path, may_be_cut: bool = False) -> Iterator[ManifestRow]:
    """Yield the rows of one file of them; a part that is still written may end within a line.

    Raises:
        DataError: naming the line that is none.
    """
    for number, row in enumerate(read_json_lines(path, may_be_cut), start=1):
        with content_of(path, f"see line {number}"):
            valid = ManifestRow.model_validate(row)
        yield valid


def image_set(
    folder: Path, rows: Iterable[ManifestRow], split: Split, size: int, bands: int = 3
) -> ImageSet:
    """Return the images of manifest rows, labelled by the split's class order."""
    index_of = {entry.folder: k for k, entry in enumerate(split.classes)}
    names, labels, checksums = [], array("q"), array("Q")
    for row in rows:
        names.append(row.file)
        labels.append(index_of[row.folder])
        if row.sha256:
            checksums.append(checksum_from_hex(row.sha256))
    known = np.array(checksums, np.uint64) if len(checksums) == len(names) else None
    return ImageSet(RelativePaths(folder, names), labels, size, bands, checksums=known)


def fingerprint(folder: Path, split: Split) -> str:
    """Return a SHA-256 that changes with the set of images in use.

    Raises:
        NotFoundError: if there is no image.
    """
    path = active_manifest(folder)
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for row in active_rows(folder, split):
        digest.update(f"{row.file} {(folder / row.file).stat().st_size}\n".encode())
    return digest.hexdigest()


def write_filtered(folder: Path, kept: Sequence[ManifestRow]) -> None:
    """Write which rows count from now on; nothing is deleted."""
    write_text(folder / FILTERED, "".join(f"{_line(row)}\n" for row in kept))


def _line(row: ManifestRow) -> str:
    return json.dumps(sealed(row.model_dump(mode="json")), ensure_ascii=False)


class ManifestWriter:
    """Adds rows while images are written; a kill loses no row of a whole image for long.

    Each process appends to a part file of its own; :meth:`finish` joins the parts, sorted, into
    ``manifest.jsonl`` in one atomic step. Rows are streamed: memory does not grow with them.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self._part = folder / f"manifest.part-{rank}.jsonl"

    def listed(self) -> Iterator[ManifestRow]:
        """Yield the known rows; one that was written twice comes twice, the right one last."""
        for path in [self.folder / MANIFEST, *self._parts()]:
            if path.is_file():
                yield from rows_of(path, may_be_cut=path.name != MANIFEST)

    def rows(self) -> Iterator[ManifestRow]:
        """Yield the known rows whose image is there."""
        return (row for row in self.listed() if member_exists(self.folder / row.file))

    def append(self, rows: Sequence[ManifestRow]) -> None:
        """Add the rows of images that are on the disk."""
        if not rows:
            return
        append_text(self._part, "".join(f"{_line(row)}\n" for row in rows))

    def finish(self) -> bool:
        """Join all parts into the manifest (main process, after all have written).

        Returns:
            Whether that ended a filter, which was of another set of images.
        """
        return self._replace(self.rows())

    def forget(self, folders: Sequence[str]) -> bool:
        """Delete the images of some classes and their rows; returns as :meth:`finish`."""
        gone = {
            container_of(self.folder / row.file) for row in self.rows() if row.folder in folders
        }
        ends_filter = self._replace(row for row in self.rows() if row.folder not in folders)
        for path in gone:
            path.unlink()
        return ends_filter

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("manifest.part-*.jsonl"))

    def _replace(self, rows: Iterable[ManifestRow]) -> bool:
        path, filtered = self.folder / MANIFEST, self.folder / FILTERED
        before = _digest(path) if path.is_file() else ""
        with atomic_path(path) as temporary:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(_sorted_lines(rows))
            # Another set of images: what was kept of the old one says nothing of it.
            ends_filter = filtered.is_file() and _digest(temporary) != before
            if ends_filter:
                filtered.unlink()
        for part in self._parts():
            part.unlink()
        return ends_filter


def _digest(manifest: Path) -> str:
    """Return a SHA-256 of which images a manifest lists."""
    digest = hashlib.sha256()
    for row in rows_of(manifest):
        digest.update(f"{row.file} {row.sha256}\n".encode())
    return digest.hexdigest()


def _sorted_lines(rows: Iterable[ManifestRow]) -> Iterator[str]:
    """Yield lines by class and number, the last one written of each; sorted on the disk."""
    with closing(sqlite3.connect("")) as table:
        table.execute("create table lines (class, number, line, primary key (class, number))")
        table.executemany(
            "insert or replace into lines values (?, ?, ?)",
            ((row.class_index, row.index, _line(row)) for row in rows),
        )
        for (line,) in table.execute("select line from lines order by class, number"):
            yield f"{line}\n"


def padded_rows(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return lists of row numbers as a table, int64 [N, length of the longest], filled with -1."""
    longest = max(map(len, rows))
    return torch.tensor([[*own, *[-1] * (longest - len(own))] for own in rows])
