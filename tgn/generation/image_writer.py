"""Where drawn images go: files in class folders, or WebDataset shards."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tgn.data.images import ImageFormat
from tgn.data.shards import TAR, member_name, write_shard
from tgn.generation.settings import GenerateSettings, StoreFormat
from tgn.runtime.files import write_bytes

SHARD_IMAGES = 1024
ENDINGS: dict[StoreFormat, str] = {"png": ".png", "jpeg": ".jpg", "webdataset": TAR}


class Picture(NamedTuple):
    """One encoded image of a class."""

    number: int  # within its class
    data: bytes
    facts: dict[str, Any]  # of its row in the manifest, without the file's name


class Store(Protocol):
    """A way to keep images."""

    encoding: ImageFormat
    images: int  # of one class that are written at once, a multiple of the block
    is_whole: bool  # whether images once written together are written anew together

    def write(self, folder: str, pictures: Sequence[Picture], pool: Executor) -> list[str]:
        """Write images of one class that belong together; return their names, "/" between parts."""


class FileStore:
    """One file an image, in a folder a class."""

    is_whole = False

    def __init__(self, out: Path, encoding: ImageFormat, block: int) -> None:
        self.out, self.encoding, self.images = out, encoding, block

    def write(self, folder: str, pictures: Sequence[Picture], pool: Executor) -> list[str]:
        def write(picture: Picture) -> str:
            name = f"{folder}/{picture.number:06d}{ENDINGS[self.encoding]}"
            write_bytes(self.out / name, picture.data)
            return name

        return list(pool.map(write, pictures))


class ShardStore:
    """Tar files of about a thousand images of a class, each with its label and its facts."""

    encoding: ImageFormat = "png"
    is_whole = True

    def __init__(self, out: Path, block: int) -> None:
        self.out, self.images = out, max(SHARD_IMAGES // block, 1) * block

    def write(self, folder: str, pictures: Sequence[Picture], _: Executor) -> list[str]:
        shard = f"{folder}-{pictures[0].number // self.images:06d}{TAR}"
        contents = (
            (
                f"{folder}/{picture.number:06d}",
                {
                    "png": picture.data,
                    "cls": str(picture.facts["class_index"]).encode(),
                    "json": json.dumps(picture.facts, ensure_ascii=False).encode(),
                },
            )
            for picture in pictures
        )
        written = write_shard(self.out / shard, contents)
        return [member_name(shard, sample, "png") for sample in written]


def store_for(out: Path, settings: GenerateSettings) -> Store:
    """Return the store of a format."""
    if settings.format == "webdataset":
        return ShardStore(out, settings.block)
    return FileStore(out, settings.format, settings.block)


def format_of(name: str) -> StoreFormat | None:
    """Return how the image of that name in a manifest is kept, or None for other ways."""
    if f"{TAR}/" in name:
        return "webdataset"
    return next((kind for kind, ending in ENDINGS.items() if name.endswith(ending)), None)
