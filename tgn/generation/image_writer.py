"""Writing of generated images: files in class folders, or WebDataset shards."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tgn.data.images import ImageFormat
from tgn.data.shards import TAR, is_member_name, member_name, write_shard
from tgn.generation.settings import GenerateSettings, OutputFormat
from tgn.runtime.files import write_bytes

SHARD_IMAGES = 1024
SUFFIX_OF: dict[OutputFormat, str] = {"png": ".png", "jpeg": ".jpg", "webdataset": TAR}


@dataclass(frozen=True)
class EncodedImage:
    """One encoded image of a class.

    Attributes:
        index: number of the image within its class.
        data: of the file.
        facts: of its row in the manifest, without the file's name.
    """

    index: int
    data: bytes
    facts: dict[str, Any]


class ImageWriter(Protocol):
    """A format on disk.

    Attributes:
        encoding: of each image.
        chunk_size: images of one class that are written together, a multiple of the block.
        rewrites_chunks: whether a chunk that lacks an image is written anew as a whole.
    """

    encoding: ImageFormat
    chunk_size: int
    rewrites_chunks: bool

    def write(self, folder: str, images: Sequence[EncodedImage], pool: Executor) -> list[str]:
        """Write images of one class that belong to one chunk.

        Args:
            folder: folder name of the class.
            images: in the order of their index.
            pool: threads to write with.

        Returns:
            The name of each image relative to the output folder, with "/" between its parts.
        """


class FileImageWriter:
    """Writes one file an image, in a folder a class."""

    rewrites_chunks = False

    def __init__(self, out: Path, encoding: ImageFormat, block: int) -> None:
        self.out, self.encoding, self.chunk_size = out, encoding, block

    def write(self, folder: str, images: Sequence[EncodedImage], pool: Executor) -> list[str]:
        def write(image: EncodedImage) -> str:
            name = f"{folder}/{image.index:06d}{SUFFIX_OF[self.encoding]}"
            write_bytes(self.out / name, image.data)
            return name

        return list(pool.map(write, images))


class ShardImageWriter:
    """Writes tar files of about a thousand images of a class, each with its label and its facts."""

    encoding: ImageFormat = "png"
    rewrites_chunks = True

    def __init__(self, out: Path, block: int) -> None:
        self.out, self.chunk_size = out, max(SHARD_IMAGES // block, 1) * block

    def write(self, folder: str, images: Sequence[EncodedImage], _: Executor) -> list[str]:
        shard = f"{folder}-{images[0].index // self.chunk_size:06d}{TAR}"
        contents = (
            (
                f"{folder}/{image.index:06d}",
                {
                    "png": image.data,
                    "cls": str(image.facts["class_index"]).encode(),
                    "json": json.dumps(image.facts, ensure_ascii=False).encode(),
                },
            )
            for image in images
        )
        written = write_shard(self.out / shard, contents)
        return [member_name(shard, sample, "png") for sample in written]


def image_writer_for(out: Path, settings: GenerateSettings) -> ImageWriter:
    """Return the writer of ``settings.format`` for an output folder."""
    block = settings.block * len(settings.ratios)  # so that a chunk has whole blocks of every ratio
    if settings.format == "webdataset":
        return ShardImageWriter(out, block)
    return FileImageWriter(out, settings.format, block)


def format_of(name: str) -> OutputFormat | None:
    """Return the format of an image by its name in a manifest, or None for an unknown one."""
    if is_member_name(name):
        return "webdataset"
    return next((kind for kind, suffix in SUFFIX_OF.items() if name.endswith(suffix)), None)
