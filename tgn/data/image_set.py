"""A listed set of image files as batches of bytes, cached in memory where it fits."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgn.data.images import decode_resized
from tgn.data.sample_range import SampleRange
from tgn.data.shards import read_file
from tgn.runtime.errors import DataError
from tgn.runtime.regular_files import NotReadableError

CACHE_BYTES = 2 << 30
DECODE_THREADS = 4

Checksums = NDArray[np.uint64]


def checksum_of(data: bytes) -> int:
    """Return the first 64 bits of the SHA-256 of a file's content."""
    return checksum_from_hex(hashlib.sha256(data).hexdigest())


def checksum_from_hex(sha256: str) -> int:
    """Return the first 64 bits of a hexadecimal SHA-256."""
    return int(sha256[:16], 16)


class RelativePaths(Sequence[Path]):
    """Files below one folder, kept as names: a million paths would take half a gigabyte.

    Args:
        root: the folder.
        names: relative to it, with "/".
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, row: int) -> Path: ...

    @overload
    def __getitem__(self, row: slice) -> "RelativePaths": ...

    def __getitem__(self, row: int | slice) -> "Path | RelativePaths":
        if isinstance(row, slice):
            return RelativePaths(self.root, self.names[row])
        return self.root / self.names[row]

    def pick(self, rows: Sequence[int]) -> "RelativePaths":
        """Return the files of some rows."""
        return RelativePaths(self.root, [self.names[row] for row in rows])


class ImageSet:
    """Images of one size with their labels.

    Args:
        files: image files, N of them.
        labels: class index of each file, N whole numbers.
        size: side in pixels; every file is resized to size x size.
        bands: 3 for RGB, 1 for greyscale.
        cache_bytes: sets that need less are decoded once and kept; others at every use.
        checksums: `checksum_of` each file's content when it was listed, [N] uint64; a file that
            has changed is an error at its first use. None checks nothing.
    """

    sample_range: SampleRange | None = None  # see :meth:`in_range`
    groups: Tensor | None = None  # number of each image's group, [N]; see :meth:`in_groups`

    def __init__(
        self,
        files: Sequence[Path],
        labels: Sequence[int],
        size: int,
        bands: int = 3,
        cache_bytes: int = CACHE_BYTES,
        checksums: Checksums | None = None,
    ) -> None:
        if len(files) != len(labels):
            raise DataError(f"{len(files)} files but {len(labels)} labels")
        self.files = files
        self.labels = torch.tensor(list(labels), dtype=torch.int64)
        self.size = size
        self.bands = bands
        self.checksums = checksums
        self._cache: Tensor | None = None
        self._fits = len(self.files) * bands * size * size <= cache_bytes

    def __len__(self) -> int:
        return len(self.files)

    def in_range(self, sample_range: SampleRange | None) -> Self:
        """Take the range by which 16-bit and float samples become bytes; return the set.

        Without one, such images are refused: a range of each image alone says nothing.
        """
        self.sample_range = sample_range
        return self

    def in_groups(self, groups: Tensor | None) -> Self:
        """Take the groups of images that tell one another, [N]; return the set.

        They are equal images and chips of one image, which are left out together where images are
        judged by fits without them. None: every image is alone.
        """
        self.groups = groups
        return self

    def at_size(self, size: int) -> "ImageSet":
        """Return the images as they are read at another side, in pixels."""
        if self.size == size:
            return self
        labels = self.labels.tolist()
        found = ImageSet(self.files, labels, size, self.bands, checksums=self.checksums)
        return found.in_range(self.sample_range).in_groups(self.groups)

    def batch(self, index: Tensor) -> Tensor:
        """Return images_u8 [B, bands, size, size] of the rows in ``index`` [B]."""
        if self._fits:
            if self._cache is None:
                self._cache = self._decode(range(len(self.files)))
            return self._cache[index]
        return self._decode(index.tolist())

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images_u8, labels) over the whole set in its order."""
        for rows in torch.arange(len(self)).split(batch_size):
            yield self.batch(rows), self.labels[rows]

    def rows_of(self, label: int) -> Tensor:
        """Return the row numbers of one class, [n]."""
        return (self.labels == label).nonzero().flatten()

    def subset(self, rows: Tensor) -> "ImageSet":
        """Return the images of the rows [n] as a set, with their pixels if decoded."""
        picked, files = rows.tolist(), self.files
        chosen = (
            files.pick(picked) if isinstance(files, RelativePaths) else [files[k] for k in picked]
        )
        checksums = None if self.checksums is None else self.checksums[rows.numpy()]
        part = ImageSet(
            chosen, self.labels[rows].tolist(), self.size, self.bands, checksums=checksums
        ).in_range(self.sample_range)
        part.groups = None if self.groups is None else self.groups[rows]
        if self._cache is not None:
            part._cache, part._fits = self._cache[rows], True
        return part

    def _decode(self, rows: Sequence[int]) -> Tensor:
        def read(row: int) -> np.ndarray:
            file = self.files[row]
            try:
                data = read_file(file)
                if self.checksums is not None and checksum_of(data) != self.checksums[row]:
                    raise DataError("its content is not what it was")
                return decode_resized(data, file.name, self.size, self.bands, self.sample_range)
            except NotReadableError:
                raise
            except PermissionError as error:
                raise DataError(f"{file}: {error.strerror}; change its permissions") from None
            except (DataError, FileNotFoundError) as error:
                raise DataError(
                    f"{file}: {error}; put the file back, or make the run (or images) anew"
                ) from None

        if not rows:
            return torch.empty(0, self.bands, self.size, self.size, dtype=torch.uint8)
        with ThreadPoolExecutor(DECODE_THREADS) as pool:
            return torch.from_numpy(np.stack(list(pool.map(read, rows))))


def select_classes(images: ImageSet, classes: Sequence[int]) -> ImageSet:
    """Return the part of ``images`` with labels in ``classes``; the labels are kept as they are."""
    keep = torch.isin(images.labels, torch.tensor(list(classes)))
    return images.subset(keep.nonzero().flatten())
