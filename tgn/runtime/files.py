"""Writing files so that a half-written one is never taken for a whole one."""

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tgn.runtime.errors import DamagedError
from tgn.runtime.explanations import content_of, written_to
from tgn.runtime.regular_files import check_regular, read_regular
from tgn.runtime.remedies import remedy_for
from tgn.runtime.seals import sealed, unsealed

PART = ".part"  # of a file that is being written
LONGEST_LINE = 1 << 20  # bytes that a line of ours may have
JSON_BYTES = 1 << 30  # of a split of millions of images

ModelT = TypeVar("ModelT", bound=BaseModel)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of ``path`` that replaces it if the block succeeds.

    The bytes are on the disk (fsync) before the name changes, so a crash leaves the old file or
    the new one, never a mixture; after an error the temporary file is gone.

    Raises:
        OSError: naming ``path``, also for what a library met there within.
    """
    with written_to(path), _temporary_neighbour(path) as temporary:
        yield temporary


@contextlib.contextmanager
def _temporary_neighbour(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Find out before long work that its result could not be written.

    Raises:
        OSError: if nothing can be written into the folder; one that is not there is no matter.
    """
    if folder.exists() and not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(folder))


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as indented JSON with a checksum, atomically; NaN is an error."""
    text = json.dumps(sealed(content), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what :func:`write_json` wrote; without a checksum, it is of an older version.

    Raises:
        DataError: if it is no object.
        DamagedError: if it is not the one that was written.
    """
    with content_of(path, remedy_for(path)):
        content = _object(read_regular(path, JSON_BYTES))
    return _whole(content, path, remedy_for(path))


def read_model(path: Path, kind: type[ModelT]) -> ModelT:
    """Read a JSON file that holds a model.

    Raises:
        DataError: if it does not.
    """
    content = read_json(path)
    with content_of(path, remedy_for(path)):
        return kind.model_validate(content)


def read_json_lines(path: Path, may_be_cut: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file.

    Args:
        path: of the file.
        may_be_cut: leave out a last line without an end, which a kill has cut short.

    Raises:
        DataError: if a line is no object.
        DamagedError: if it is not the one that was written.
    """
    check_regular(path, sys.maxsize)
    with path.open("rb") as file:
        lines = iter(lambda: file.readline(LONGEST_LINE), b"")
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n") or len(line) == LONGEST_LINE or not may_be_cut:
                yield _object_in(line, path, number)


def _object_in(line: bytes, path: Path, number: int) -> dict[str, Any]:
    remedy = f"see line {number}; {remedy_for(path)}"
    with content_of(path, remedy):
        content = _object(line)
    return _whole(content, path, remedy)


def _whole(content: Mapping[str, Any], path: Path, remedy: str) -> dict[str, Any]:
    try:
        return unsealed(content)
    except ValueError:
        raise DamagedError(
            f"{path} is not what was written: damaged, or changed by hand; {remedy}"
        ) from None


def _object(text: bytes) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {text[:40]!r}")
    return value


def append_text(path: Path, text: str) -> None:
    """Add whole lines to a file; a line that a kill or a full disk cut short is taken off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_to(path), path.open("a+b") as file:
        end = file.tell()
        file.seek(max(end - LONGEST_LINE, 0))
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
        file.write(text.encode())


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
