"""Images of the same scenes by another sensor, matched by their paths."""

from pathlib import Path, PurePosixPath

from tgn.data.image_files import images_below
from tgn.data.image_set import ImageSet
from tgn.data.measured_range import measured_range, spread
from tgn.data.split import Part, Split
from tgn.runtime.errors import DataError, NotFoundError


def paired_set(
    split: Split, part: Part, run_path: Path, folder: Path, size: int, bands: int
) -> ImageSet:
    """Return the other sensor's images of a part, in the order of the split.

    16-bit and float images get one range, measured on its images of the training part.

    Two images are a pair if their paths below the two data folders are equal but for the suffix:
    ``train/ship/0007.png`` and ``train/ship/0007.tif``.

    Raises:
        NotFoundError: if there is no such folder.
        DataError: if an image of either folder has no pair; names one.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no folder {folder} of paired images; it must be laid out as the data")
    found, own = _by_id(folder), _by_id((run_path / split.root).resolve())
    if unpaired := sorted(own.keys() ^ found.keys()):
        example = (own | found)[unpaired[0]]
        raise DataError(
            f"{len(own.keys() - found.keys())} images have no pair in {folder}, and "
            f"{len(found.keys() - own.keys())} images there have none in the run's data, e.g. "
            f"{example}; pairs have the same path but for the suffix"
        )
    rows = getattr(split, part)
    files = [found[_id(file)] for file, _ in rows]
    measured = measured_range(spread([found[_id(file)] for file, _ in split.train]))
    return ImageSet(files, [label for _, label in rows], size, bands).in_range(measured)


def _id(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(""))


def _by_id(folder: Path) -> dict[str, Path]:
    pictures = images_below(folder).images
    return {_id(path.relative_to(folder).as_posix()): path for path in pictures}
