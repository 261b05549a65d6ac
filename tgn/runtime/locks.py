"""One writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tgn.runtime.errors import UserError
from tgn.runtime.files import PART

LOCK = ".lock"


@contextmanager
def exclusive_writer(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder; the lock ends with its process, however it dies.

    What a killed writer has left half-written there, or one folder below, is deleted.

    Raises:
        UserError: if another process writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is writing {folder}; wait for it, or choose another --run, --name "
            "or --out"
        ) from None
    try:
        for pattern in (f".*{PART}", f"*/.*{PART}"):
            for left in folder.glob(pattern):
                left.unlink()
        yield
    finally:
        lock.release()
