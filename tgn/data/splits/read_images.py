"""Every image of a split is decoded and hashed once, before anything is decided."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tgn.data.images import check_image, pixels_sha256
from tgn.data.shards import read_file
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress
from tgn.runtime.regular_files import NotReadableError

READ_THREADS = 4


@dataclass
class ReadReport:
    """What reading every file once has shown.

    Attributes:
        left_out: (file, reason) of what cannot be read.
        repairs: what was converted on reading -> how many images.
        digests: file -> hexadecimal SHA-256 of its bytes.
        pixel_digests: file -> hexadecimal SHA-256 of its decoded pixels, if they were asked for.
    """

    left_out: list[tuple[str, str]] = field(default_factory=list)
    repairs: Counter[str] = field(default_factory=Counter)
    digests: dict[str, str] = field(default_factory=dict)
    pixel_digests: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return lines for people about repairs and unreadable images."""
        lines = [f"{n} images: {repair}" for repair, n in sorted(self.repairs.items())]
        if self.left_out:
            file, reason = self.left_out[0]
            count = len(self.left_out)
            lines.append(f"{count} unreadable images left out, e.g. {file}: {reason}")
        return lines


class _Reading(NamedTuple):
    file: str
    digest: str
    pixel_digest: str = ""
    problem: str = ""
    repairs: tuple[str, ...] = ()


def read_images(
    root: Path, files: Sequence[str], progress: Progress, hash_pixels: bool = False
) -> ReadReport:
    """Decode every file: what cannot be read now must not stop a training later.

    Args:
        root: the data folder.
        files: relative to it, images in shards among them.
        progress: counts files.
        hash_pixels: whether to hash the decoded pixels too; takes a second decoding.
    """
    report = ReadReport()
    progress.start("read images", len(files))
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for one in pool.map(lambda file: _read(root, file, hash_pixels), files):
            report.digests[one.file] = one.digest
            if one.problem:
                report.left_out.append((one.file, one.problem))
            report.repairs.update(one.repairs)
            if one.pixel_digest:
                report.pixel_digests[one.file] = one.pixel_digest
            progress.advance()
    return report


def _read(root: Path, file: str, hash_pixels: bool) -> _Reading:
    try:
        data = read_file(root / file)
    except NotReadableError as error:
        return _Reading(file, "", problem=error.problem)
    except (PermissionError, FileNotFoundError) as error:  # not of a disk that is full or failing
        return _Reading(file, "", problem=f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return _Reading(file, digest, problem="empty file")
    try:
        repairs = check_image(data, file)
        pixel_digest = pixels_sha256(data, file) if hash_pixels else ""
    except DataError as error:
        return _Reading(file, digest, problem=str(error))
    return _Reading(file, digest, pixel_digest, repairs=repairs)
