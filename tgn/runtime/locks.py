"""One writer of a folder at a time, and none while others read it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import ReadWriteLock, Timeout

from tgn.runtime.errors import UserError
from tgn.runtime.files import PART

LOCK = ".lock"


@contextmanager
def exclusive_writer(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder; the lock ends with its process, however it dies.

    What a killed writer has left half-written there, or one folder below, is deleted. May be
    nested.

    Raises:
        UserError: if another process writes or reads there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).touch()
    try:
        lock = ReadWriteLock(folder / LOCK).acquire_write(timeout=0)
    except Timeout:
        raise UserError(
            f"another process uses {folder}; wait for it, or choose another --run, --name or --out"
        ) from None
    with lock:
        for pattern in (f".*{PART}", f"*/.*{PART}"):
            for left in folder.glob(pattern):
                left.unlink()
        yield


@contextmanager
def kept_unchanged(*folders: Path | None) -> Iterator[None]:
    """Keep writers out of folders that are read; any number of processes may read.

    A folder that no writer of ours has ever locked, or where this user may write nothing, is only
    read.

    Raises:
        UserError: if another process writes there.
    """
    with ExitStack() as held:
        for folder in folders:
            if folder is None or not (folder / LOCK).is_file():
                continue
            try:
                held.enter_context(ReadWriteLock(folder / LOCK).acquire_read(timeout=0))
            except Timeout:
                raise UserError(
                    f"another process is writing {folder}; wait for it, or stop it"
                ) from None
            except OSError:
                continue  # read-only, or of somebody else
        yield
