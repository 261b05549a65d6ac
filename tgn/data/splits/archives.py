"""Unpacking of .zip files; nothing is written outside the target folder."""

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tgn.runtime.errors import DataError, NotFoundError

KEEP_FREE = 200 << 20  # bytes that unpacking must leave on the disk


def extract_zip(archive: Path, target: Path) -> Path:
    """Unpack ``archive`` into the new folder ``target``: whole, or not at all.

    Raises:
        NotFoundError: if there is no such file.
        DataError: not a zip, damaged, members that lead outside, links, or too large for the disk.
    """
    if not archive.is_file():
        raise NotFoundError(f"no file {archive}; expected a .zip of class folders")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with zipfile.ZipFile(archive) as file:
            members = [info for info in file.infolist() if not info.is_dir()]
            _check(archive, members, temporary)
            for info in members:
                _extract(file, info, temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise DataError(f"{archive} is no whole zip file: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    for info in members:
        path = PurePosixPath(info.filename)
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename or is_link:
            raise DataError(f"{archive}: member {info.filename!r} leads outside; nothing unpacked")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: member {info.filename!r} is encrypted; nothing unpacked")
    size, free = sum(info.file_size for info in members), shutil.disk_usage(folder).free
    if size + KEEP_FREE > free:
        raise DataError(f"{archive} unpacks to {size >> 20} MiB, but {free >> 20} MiB are free")


def _extract(file: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    """Write one member; more bytes than its header promised are an error (zip bombs)."""
    path = folder.joinpath(*PurePosixPath(info.filename).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with file.open(info) as source, path.open("wb") as target:
        left = info.file_size
        while piece := source.read(1 << 20):
            left -= len(piece)
            if left < 0:
                raise DataError(f"member {info.filename!r} is larger than its header says")
            target.write(piece)
