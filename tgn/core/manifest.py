"""The record of generated images: one line of JSON an image."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, field_validator

from tgn.core.data import ImageSet
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import read_json_lines, write_text
from tgn.core.split import Split

MANIFEST = "manifest.jsonl"


class ManifestRow(BaseModel):
    """What made one generated image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str  # relative to the manifest's folder, with "/"
    folder: str  # the class's folder name
    class_index: int
    index: int  # number of the image within its class
    seed: int
    noise: float  # r in [0, 1]
    source: int  # row of the feature bank
    source_file: str  # the real training image of that row
    weights_sha256: str
    sha256: str  # of the image file

    @field_validator("file")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value:
            raise ValueError("must be a relative path inside the folder")
        return value


def read_manifest(folder: Path) -> Iterator[ManifestRow]:
    """Yield the rows of ``folder/manifest.jsonl``.

    Raises:
        NotFoundError: if the folder has no manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"no {path}; make images with: tgn generate --class all")
    for row in read_json_lines(path):
        yield ManifestRow.model_validate(row)


def generated_set(folder: Path, split: Split, size: int, bands: int = 3) -> ImageSet:
    """Return the generated images of a folder, labelled by the split's class order.

    Raises:
        UserError: if a row names a class that the split does not have.
    """
    index_of = {entry.folder: k for k, entry in enumerate(split.classes)}
    files, labels = [], []
    for row in read_manifest(folder):
        if row.folder not in index_of:
            raise UserError(
                f"{folder / MANIFEST} has class {row.folder!r}, which the run does not; "
                f"it has: {', '.join(index_of)}"
            )
        files.append(folder / row.file)
        labels.append(index_of[row.folder])
    return ImageSet(files, labels, size, bands)


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
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("a", encoding="utf-8") as file:
            file.write("".join(row.model_dump_json() + "\n" for row in rows))

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

    def _replace(self, rows: list[ManifestRow]) -> None:
        rows = sorted(rows, key=lambda row: (row.class_index, row.index))
        text = "".join(row.model_dump_json() + "\n" for row in rows)
        write_text(self.folder / MANIFEST, text)
        for part in self.folder.glob("manifest.part-*.jsonl"):
            part.unlink()
