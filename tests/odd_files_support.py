"""Files that are none, whatever their names say: pipes, devices, folders, links, holes."""

import os
import socket
import struct
import zlib
from pathlib import Path

HOLE = 2 << 30  # bytes of a file that takes no room on the disk


def sparse(path: Path, start: bytes = b"", size: int = HOLE) -> None:
    """Write a file that is large and holds next to nothing."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def png_of(width: int, height: int) -> bytes:
    """Return a small file whose header promises a picture of any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def write_odd_files(folder: Path) -> dict[str, str]:
    """Write what looks like images into a folder; return name -> why it is left out."""
    os.mkfifo(folder / "fifo.png")
    with socket.socket(socket.AF_UNIX) as one:  # the names of sockets are short
        here = Path.cwd()
        os.chdir(folder)
        one.bind("socket.png")
        os.chdir(here)
    (folder / "folder.png").mkdir()  # an empty folder, of which nothing is lost
    links = {"zero.png": "/dev/zero", "gone.png": "nowhere", "loop.png": "loop.png", "up": ".."}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    sparse(folder / "sparse.png")
    sparse(folder / "sparse.npy")
    (folder / "bomb.png").write_bytes(png_of(100_000, 100_000))
    (folder / "empty.png").write_bytes(b"")
    (folder / "._x.png").write_bytes(b"macOS")
    (folder / "x.heic").write_bytes(b"of another kind")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(b"x")
    return {
        "fifo.png": "no regular file",
        "socket.png": "no regular file",
        "zero.png": "no regular file",
        "gone.png": "link to a file that is gone",
        "loop.png": "link that leads to itself",
        "up": "link to a folder that holds it",
        "sparse.png": "of 2048 MiB, over the limit",
        "sparse.npy": "of 2048 MiB, over the limit",
        "bomb.png": "100000x100000 pixels, over the limit",
        "empty.png": "empty file",
        "._x.png": "hidden",
        "x.heic": "suffix .heic is not read",
        r"caf\xe9.png": "name is not UTF-8 text",
    }
