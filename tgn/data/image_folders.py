"""Plain folders of images without a run: which images they hold, in which class folders."""

import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tgn.data.decoding import Decoded, use_decoded
from tgn.data.image_files import images_below, images_directly_in, visible_folders
from tgn.data.image_set import ImageSet, RelativePaths
from tgn.data.images import ARRAY, SUFFIXES, read_array
from tgn.data.manifest import FILTERED, MANIFEST, ManifestRow, rows_of
from tgn.data.samples import Samples
from tgn.data.shards import read_file
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.regular_files import NotReadableError

FLAT = ""  # class folder of images that lie directly in the folder


def folder_rows(
    folder: Path, include_filtered: bool = False, exclude: Collection[str] = ()
) -> list[ManifestRow]:
    """Return a row for each image of a folder: of its manifest, else of the files found.

    Files are found in class folders (``folder/<class>/``, at any depth below), or else directly
    in the folder; those have the class folder "". Hidden files are left out.

    Args:
        folder: the images.
        include_filtered: also return what ``tgn filter`` has dropped.
        exclude: names of files directly in the folder that are no images of the set.

    Raises:
        NotFoundError: if there is no such folder.
        DataError: if it has no images, or a file that should be one cannot be read.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder}; give a folder of images")
    manifests = [folder / MANIFEST] if include_filtered else [folder / FILTERED, folder / MANIFEST]
    manifest = next((path for path in manifests if path.is_file()), None)
    if manifest is not None:
        rows = list(rows_of(manifest))
    else:
        rows = list(_rows_of_files(folder, exclude))
    if not rows:
        raise DataError(
            f"{folder} has no images; expected {', '.join(sorted(SUFFIXES))} files in class "
            "folders, or directly in it"
        )
    return rows


def class_folders(rows: Sequence[ManifestRow]) -> list[str]:
    """Return the sorted class folders of the rows; [""] for images directly in their folder."""
    return sorted({row.folder for row in rows})


def folder_images(
    folder: Path, rows: Sequence[ManifestRow], classes: Sequence[str], size: int, bands: int = 3
) -> ImageSet:
    """Return the images of rows at ``size`` pixels, labelled by the position in ``classes``.

    Args:
        folder: the folder of the rows.
        rows: N images.
        classes: class folders in the order of the labels; images of others have label 0.
        size: side in pixels.
        bands: 3 or 1.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    labels = [label_of.get(row.folder, 0) for row in rows]
    return ImageSet(RelativePaths(folder, [row.file for row in rows]), labels, size, bands)


def image_side(file: Path) -> int:
    """Return the longer side of an image file in pixels.

    Raises:
        DataError: if it cannot be read; names the file.
    """
    try:
        data = io.BytesIO(read_file(file))
        if file.name.lower().endswith(ARRAY):
            return max(read_array(data).shape[:2])
        return use_decoded(data.getvalue(), 3, _longer_side)
    except NotReadableError:
        raise
    except (DataError, FileNotFoundError) as error:
        raise DataError(f"{file}: {error}; remove or replace the file") from None


def _longer_side(found: Decoded) -> int:
    content = found.content
    return max(content.values.shape[:2] if isinstance(content, Samples) else content.size)


def _rows_of_files(folder: Path, exclude: Collection[str]) -> Iterator[ManifestRow]:
    found = {path.name: images_below(path).whole() for path in visible_folders(folder)}
    found = {name: files for name, files in found.items() if files}
    if not found:
        found = {FLAT: [p for p in images_directly_in(folder).whole() if p.name not in exclude]}
    for label, (name, files) in enumerate(found.items()):
        for index, path in enumerate(files):
            file = path.relative_to(folder).as_posix()
            yield ManifestRow(file=file, folder=name, class_index=label, index=index)
