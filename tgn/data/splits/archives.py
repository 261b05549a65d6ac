"""Unpacking of .zip files; nothing is written outside the target folder."""

import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.files import write_text
from tgn.runtime.names import leads_outside

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
KEEP_FREE = 200 << 20  # bytes that unpacking must leave on the disk


def remove_unfinished(target: Path) -> None:
    """Delete what was unpacked for a run that a kill or an error kept from being made."""
    if _marker(target).exists():
        shutil.rmtree(target, ignore_errors=True)
        _marker(target).unlink()
    for left in target.parent.glob(f".{target.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def keep_unpacked(target: Path) -> None:
    """Say that the run is made to which the unpacked folder belongs."""
    _marker(target).unlink(missing_ok=True)


def _marker(target: Path) -> Path:
    """Return the file that lies beside an unpacked folder of which nothing has been made yet."""
    return target.with_name(f".{target.name}-unfinished")


def extract_zip(archive: Path, target: Path) -> Path:
    """Unpack ``archive`` into the new folder ``target``: whole, or not at all.

    :func:`remove_unfinished` deletes it until :func:`keep_unpacked` is called.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if ``target`` exists.
        DataError: not a zip, damaged, members that lead outside, links, or too large for the disk.
    """
    if not archive.is_file():
        raise NotFoundError(f"no file {archive}; expected a .zip of class folders")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(target)
    if target.exists():
        raise UserError(f"{target} exists and no split made it; choose another --run, or move it")
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with zipfile.ZipFile(archive) as file:
            members = [info for info in file.infolist() if not _path(info).endswith("/")]
            _check(archive, members, temporary)
            for info in members:
                _extract(archive, file, info, temporary)
        write_text(_marker(target), "")
        temporary.rename(target)
    except OSError as error:  # bz2 has it for damaged data, too
        reason = error.strerror or error
        raise DataError(f"{archive} cannot be unpacked into {target.parent}: {reason}") from None
    except UnicodeDecodeError:
        raise DataError(f"{archive}: a member's name is not UTF-8, as the zip says it is") from None
    except (*DAMAGED, NotImplementedError) as error:
        raise DataError(f"{archive} is no whole zip file: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _path(info: zipfile.ZipInfo) -> str:
    r"""Return a member's name with "/"; some programs of Windows write "\"."""
    return info.filename.replace("\\", "/")


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    for info in members:
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        has_drive = bool(PureWindowsPath(info.filename).drive)
        if leads_outside(_path(info)) or has_drive or is_link:
            raise DataError(f"{archive}: member {info.filename!r} leads outside; nothing unpacked")
        if info.flag_bits & 1:
            raise DataError(f"{archive}: member {info.filename!r} is encrypted; nothing unpacked")
    size, free = sum(info.file_size for info in members), shutil.disk_usage(folder).free
    if size + KEEP_FREE > free:
        raise DataError(f"{archive} unpacks to {size >> 20} MiB, but {free >> 20} MiB are free")


def _extract(archive: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> None:
    """Write one member; more bytes than its header promised are an error (zip bombs)."""
    path = folder.joinpath(*PurePosixPath(_path(info)).parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    except FileExistsError:
        raise DataError(
            f"{archive}: two members have the name {info.filename!r}, or differ in upper and lower "
            "case only; nothing unpacked"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{archive}: member {info.filename[:80]!r} cannot be written: {reason}; nothing "
            "unpacked"
        ) from None
    with file.open(info) as source, target:
        left = info.file_size
        while piece := source.read(1 << 20):
            left -= len(piece)
            if left < 0:
                raise DataError(f"member {info.filename!r} is larger than its header says")
            target.write(piece)
