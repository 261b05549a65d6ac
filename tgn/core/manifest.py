"""The record of generated images: one line of JSON an image."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, field_validator

from tgn.core.data import ImageSet
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import read_json_lines
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
