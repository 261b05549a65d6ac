"""WebDataset shards: tar files of samples; images in them are read by their place, not unpacked.

An image in a shard has a path like any other: ``SHARD.tar/KEY@OFFSET+SIZE.png``.
"""

import hashlib
import io
import json
import re
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tgn.data.hidden_files import is_hidden
from tgn.runtime.errors import DataError
from tgn.runtime.files import atomic_path
from tgn.runtime.names import leads_outside
from tgn.runtime.regular_files import NotReadableError, check_regular, read_regular

TAR = ".tar"
IMAGE_BYTES = 300_000_000  # of an image that is read whole: as much as its pixels may have
LARGEST_HEADER = 1 << 20  # bytes; long names and other facts of a member
LONGEST_END = 64 << 20  # bytes of zeros; programs write some ten thousand
LABEL_BYTES = 1 << 20
TAR_ERRORS = (tarfile.TarError, ValueError, KeyError, OverflowError)  # of damaged headers
Place = tuple[int, int]  # offset and size in the shard
LeftOut = list[tuple[str, str]]  # (name, reason)
_PLACE = re.compile(r"@(\d+)\+(\d+)(?:\.[^./@]+)$")


@dataclass(frozen=True)
class Sample:
    """One key of a shard."""

    key: str  # the members' common name, e.g. "airport/000012"
    places: Mapping[str, Place]  # extension, lower case -> where its content is


def read_file(path: Path, most: int = IMAGE_BYTES) -> bytes:
    """Return the bytes of a file or of an image in a shard.

    Args:
        path: of the file or image.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: if the file or shard is gone, or the shard is shorter than it was.
        NotReadableError: if it is no regular file, or larger than ``most``.
    """
    found = _member(path)
    if found is None:
        return read_regular(path, most)
    shard, offset, size = found
    if size > most:
        raise NotReadableError(path, f"of {size >> 20} MiB, over the limit of {most >> 20} MiB")
    if check_regular(shard, sys.maxsize) < offset + size:
        raise FileNotFoundError(f"{shard} ends before byte {offset + size}")
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def member_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of an image file or of an image in a shard."""
    return hashlib.sha256(read_file(path)).hexdigest()


def member_exists(path: Path) -> bool:
    """Whether a file, or the place in a shard that a path names, exists."""
    found = _member(path)
    if found is None:
        return path.is_file()
    shard, offset, size = found
    return shard.is_file() and shard.stat().st_size >= offset + size


def container_of(path: Path) -> Path:
    """Return the file that holds an image: the shard, or the image file itself."""
    found = _member(path)
    return path if found is None else found[0]


def _member(path: Path) -> tuple[Path, int, int] | None:
    place = _PLACE.search(path.name)
    if place is None:
        return None
    # A class folder may be called x.tar, in a shard too.
    shard = next((one for one in path.parents if one.suffix == TAR and one.is_file()), None)
    if shard is None:
        return None
    return shard, int(place[1]), int(place[2])


def member_name(shard: str, sample: Sample, extension: str) -> str:
    """Return the name of an image in a shard, "/" between its parts."""
    offset, size = sample.places[extension]
    return f"{shard}/{sample.key}@{offset}+{size}.{extension}"


def is_member_name(file: str) -> bool:
    """Return whether a name is one of :func:`member_name`."""
    return bool(_PLACE.search(file)) and any(part.endswith(TAR) for part in file.split("/")[:-1])


def portable_name(file: str) -> str:
    """Return an image's name without its place in a shard, so that it outlives a new packing."""
    place = _PLACE.search(file)
    if place is None or not is_member_name(file):
        return file
    return file[: place.start()] + PurePosixPath(file).suffix


def samples(shard: Path, left_out: LeftOut | None = None) -> Iterator[Sample]:
    """Yield the samples of a shard in their order; members are not read.

    A hard link is the member that it names: ``tar`` writes one for a file that has two names.

    Source: the WebDataset format: members of a sample follow one another and share the name up to
    the first dot after the last slash.

    Args:
        shard: the tar file.
        left_out: gets (name, reason) of members that are no data or cannot be read by their place.

    Raises:
        DataError: no plain tar file, one that is damaged or cut short, or a key that leads outside.
    """
    left_out = [] if left_out is None else left_out
    key, places = "", dict[str, Place]()
    for member, place in _members(shard, left_out):
        name, extension = _key(shard, member)
        if name != key and places:
            yield Sample(key, places)
            places = {}
        key = name
        if extension in places:
            left_out.append((member, "second member of its name"))
        else:
            places[extension] = place
    if places:
        yield Sample(key, places)


class _Headers(io.FileIO):
    """A tar file of which headers are read, not members: what claims more fills no memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes at byte {self.tell()}")
        return super().read(size) or b""


def _members(shard: Path, left_out: LeftOut) -> Iterator[tuple[str, Place]]:
    """Yield name and place of each member with content."""
    length = check_regular(shard, sys.maxsize)
    places: dict[str, Place] = {}
    end = 0  # of the member before
    try:
        with _Headers(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # it remembers all of them
                if not end < tar.offset <= length:  # else it may be read again and again
                    raise tarfile.ReadError(f"cut short: {info.name!r} ends at byte {tar.offset}")
                end = tar.offset
                if reason := _no_data(info, places):
                    left_out.append((info.name, reason))
                elif not info.isdir():
                    place = places[info.linkname] if info.islnk() else (info.offset_data, info.size)
                    places[info.name] = place
                    yield info.name, place
            end = tar.offset
    except TAR_ERRORS as error:
        raise DataError(
            f"{shard} is no whole tar file ({error}); compressed ones: unpack"
        ) from None
    _check_end(shard, end)


def _no_data(info: tarfile.TarInfo, known: Mapping[str, Place]) -> str:
    """Return why a member is left out, "" if it is not."""
    if info.isdir():
        return ""
    if _is_skipped(info.name):
        return "hidden member of a shard"
    if info.issparse():
        return "sparse member of a shard; pack it without --sparse"
    if info.islnk() and info.linkname in known:
        return ""
    if info.islnk() or info.issym():
        return "link in a shard; pack it with --dereference --hard-dereference"
    return "" if info.isreg() else "no regular file in a shard"


def _is_skipped(name: str) -> bool:
    """Whether a member is no data: a file that macOS added, or one in a folder of a system."""
    *folders, last = PurePosixPath(name).parts or ("",)
    hidden = any(is_hidden(folder) for folder in folders if folder not in ("..", "."))
    return hidden or last.startswith("._") or last == ".DS_Store"


def _check_end(shard: Path, end: int) -> None:
    """Refuse a shard that does not end with blocks of zeros, or that goes on behind them.

    ``tarfile`` takes the end of the file, and any header but the first that it cannot read, for
    the end of the archive.

    Args:
        shard: the tar file.
        end: where the next header would begin.

    Raises:
        DataError: if it is cut short, damaged, or several that were joined.
    """
    with shard.open("rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
        if len(block) < tarfile.BLOCKSIZE:
            raise DataError(f"{shard} is cut short at byte {end}; get the whole file")
        if any(block):
            raise DataError(f"{shard} is damaged at byte {end}; get the whole file")
        for rest in iter(lambda: file.read(1 << 20), b""):
            if file.tell() - end > LONGEST_END:
                raise DataError(f"{shard} is damaged: nothing but zeros from byte {end} on")
            if rest.count(0) < len(rest):
                raise DataError(
                    f"{shard} goes on behind its end, byte {end}: several files that were joined; "
                    "give them one by one"
                )


def _key(shard: Path, name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    stem, _, extension = path.name.partition(".")
    if leads_outside(name) or "\\" in name or not stem:
        raise DataError(f"{shard}: member {name!r} leads outside or has no name")
    return (path.parent / stem).as_posix(), extension.lower()


def write_shard(path: Path, contents: Iterable[tuple[str, Mapping[str, bytes]]]) -> list[Sample]:
    """Write (key, extension -> bytes) samples as a shard: whole, or not at all.

    The bytes depend on nothing but the contents: no time, no owner.
    """
    with atomic_path(path) as temporary:
        with tarfile.open(temporary, "w") as tar:
            for key, members in contents:
                for extension, data in members.items():
                    info = tarfile.TarInfo(f"{key}.{extension}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return list(samples(temporary))


def label_of(shard: Path, sample: Sample) -> str:
    """Return the class of a sample: from its ``.json`` (folder, class or label) or ``.cls``.

    Raises:
        DataError: if it has none.
    """

    def text(extension: str) -> str:
        member = shard.parent / member_name(shard.name, sample, extension)
        return read_file(member, LABEL_BYTES).decode("utf-8", "replace").strip()

    label = text("cls") if "cls" in sample.places else ""
    if "json" in sample.places:
        try:
            facts = json.loads(text("json"))
        except (ValueError, RecursionError):
            raise DataError(f"{shard}: {sample.key}.json is no JSON") from None
        facts = facts if isinstance(facts, dict) else {}
        label = str(next((facts[k] for k in ("folder", "class", "label") if k in facts), label))
    if not label:
        raise DataError(
            f"{shard}: sample {sample.key!r} has no class; expected a .cls member, or a .json with "
            "folder, class or label"
        )
    return label
