"""Files that others made, checked before a byte is read: what kind they are, and how large.

A FIFO waits for ever, a device never ends, and a file of some gigabytes fills the memory before
its first byte is looked at. Every reader of files that a user names reads them here.
"""

import stat
from pathlib import Path

from tgn.runtime.errors import DataError

SETTINGS_BYTES = 4 << 20  # of settings and class names
LABELS_BYTES = 64 << 20  # of the labels of one image
TABLE_BYTES = 256 << 20  # of a list or table of a whole data set: two million lines and more
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a FIFO (named pipe)",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class NotReadableError(DataError):
    """A path that cannot be read as a file, whatever it should hold.

    Attributes:
        problem: the message without the path.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.problem = problem
        super().__init__(f"{path} is {problem}")


def check_regular(path: Path, most: int) -> int:
    """Return the size of a file in bytes.

    Args:
        path: of the file, or of a link to it.
        most: bytes.

    Raises:
        OSError: if it is not there, or cannot be reached.
        NotReadableError: if it is no regular file, or larger than ``most``.
    """
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        kind = next((name for is_one, name in KINDS.items() if is_one(state.st_mode)), "no file")
        raise NotReadableError(path, f"{kind}, expected a regular file; name another")
    if state.st_size > most:
        raise NotReadableError(
            path,
            f"of {state.st_size >> 20} MiB, over the limit of {most >> 20} MiB for such a file; "
            "name another",
        )
    return state.st_size


def read_regular(path: Path, most: int = TABLE_BYTES) -> bytes:
    """Return the content of a file.

    Args:
        path: of the file.
        most: bytes that a file of its kind may have.

    Raises:
        OSError: if it is not there, or cannot be read.
        NotReadableError: as :func:`check_regular` says.
    """
    size = check_regular(path, most)
    with path.open("rb") as file:
        return file.read(size)  # no more, should somebody write to it
