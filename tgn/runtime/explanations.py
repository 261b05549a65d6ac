"""What went wrong in one line: file, reason and remedy. Every error of a command goes through here.

An error of ours (:class:`tgn.runtime.errors.TgnError`) says all that itself. The errors of Python
and of libraries that a user can cause are put into words; what is left is a bug of ours.
"""

import errno
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tgn.runtime.errors import DataError, TgnError, UserError
from tgn.runtime.shown_text import for_terminal

MOST = 300  # characters of what a library says
LONGEST = 2400  # characters of a message

AGAIN = "free some space and run the same command again: it continues"
RIGHTS = "change its permissions, or choose another place (--out, TGN_RUNS)"
REMEDIES = {
    errno.ENOSPC: AGAIN,
    errno.EDQUOT: AGAIN,
    errno.EROFS: "choose another place (--out, TGN_RUNS)",
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "expected a file; name another, or move the folder away",
    errno.ENOTDIR: "expected a folder; name another, or move the file away",
    errno.EEXIST: "move it away, or choose another name",
    errno.ENOTEMPTY: "move it away, or choose another name",
    errno.ENOENT: "put it back, or name another",
    errno.ELOOP: "the symbolic link leads to itself; name the file that is meant",
    errno.EIO: "the disk or its connection fails; copy what is left of it",
    errno.EMFILE: "raise the number of open files: ulimit -n 4096",
    errno.ENFILE: "raise the number of open files: ulimit -n 4096",
    errno.EADDRINUSE: "choose another --port, or none: the first free one is taken",
    errno.ENOMEM: "end other programs, or take less at once: --set batch_size=N",
}
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # so end the messages of libraries written in Rust
DEFAULT_REMEDY = "put it back from a copy, or make it anew"
DAMAGED = (UnicodeError, json.JSONDecodeError, yaml.YAMLError, ValidationError)


def explained(error: BaseException) -> str | None:
    """Return an error in one line, or None for a bug of ours."""
    if isinstance(error, TgnError):
        return _cut(_in_line(str(error)))
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        return f"{_in_line(str(error))}; {REMEDIES[errno.ELOOP]}"  # pathlib before Python 3.13
    if isinstance(error, MemoryError):
        return "the memory is full; take less at once, e.g. --set batch_size=N or --set size=N"
    if isinstance(error, DAMAGED) or _is_of_safetensors(error):
        return reason(error)
    return None


def reason(error: BaseException) -> str:
    """Return what is wrong with the content of a file, without the file's name."""
    if isinstance(error, UnicodeDecodeError):
        bad = error.object[error.start : error.start + 1].hex()
        return f"not UTF-8 text (byte 0x{bad} at place {error.start})"
    if isinstance(error, UnicodeEncodeError):
        around = error.object[max(error.start - 40, 0) : error.end + 40]
        return f"{around!r} is no text in {error.encoding}; rename it"
    if isinstance(error, json.JSONDecodeError):
        return f"not whole JSON (line {error.lineno}: {error.msg})"
    if isinstance(error, yaml.YAMLError):
        return f"not YAML: {_in_line(str(error))}"
    if isinstance(error, ValidationError):
        return "; ".join(_of_field(one) for one in error.errors()[:3])
    return f"{type(error).__name__}: {_in_line(str(error))[:MOST]}"


@contextmanager
def content_of(path: Path, remedy: str = DEFAULT_REMEDY) -> Iterator[None]:
    """Name a file whose content turns out within not to be what it should.

    Args:
        path: of the file that is read.
        remedy: what to do about it.

    Raises:
        DataError: in place of the errors of parsers and of what reads their result.
    """
    try:
        yield
    except TgnError:
        raise
    except (*DAMAGED, RecursionError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged or of another kind: {reason(error)}; {remedy}"
        ) from None


@contextmanager
def named(source: str) -> Iterator[None]:
    """Put the name of a file before what is said of it within, where it is not said."""
    try:
        yield
    except UserError as error:
        if source in str(error):
            raise
        raise UserError(f"{source}: {error}") from None


@contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Name a file that cannot be written: the system says it of a name only, not of its bytes.

    Raises:
        OSError: with the file's name, also in place of what libraries make of it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error.__cause__, OSError):
            raise  # it has no number, or was named where several files are written at once
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    except Exception as error:
        if found := OS_ERROR.search(str(error)):
            number = int(found[1])
            raise OSError(number, os.strerror(number), os.fspath(path)) from error
        raise


def _of_system(error: OSError) -> str:
    if error.errno is None:  # of a library, as Pillow's "image file is truncated"
        return _in_line(str(error)) or type(error).__name__
    files = [
        os.fsdecode(f) for f in (error.filename, error.filename2) if isinstance(f, str | bytes)
    ]
    where = f"{' -> '.join(files)}: " if files else ""
    what = (error.strerror or os.strerror(error.errno)).lower()
    remedy = REMEDIES.get(error.errno, "")
    return _in_line(where + what) + (f"; {remedy}" if remedy else "")


def _of_field(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "content"
    what = problem["msg"].removeprefix("Value error, ")
    return _in_line(f"{where}: {what} (got {problem['input']!r:.60})")


def _is_of_safetensors(error: BaseException) -> bool:
    library = sys.modules.get("safetensors")  # not imported for it: --help must not wait
    return library is not None and isinstance(error, library.SafetensorError)


def _cut(line: str) -> str:
    """Return a line without its middle, if a name in it is as long as a book."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 400]} ... {line[-400:]}"


def _in_line(text: str) -> str:
    """Return text in one line; what a terminal cannot show or would obey is escaped."""
    return for_terminal(" ".join(text.split()))
