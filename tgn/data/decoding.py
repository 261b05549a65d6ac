"""The content of image files as pictures of bytes, or as samples where bytes cannot hold them."""

import io
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from tgn.data.sample_range import SampleRange
from tgn.data.samples import (
    DAMAGE,
    TIFF_STARTS,
    Admit,
    Samples,
    bands_left_out,
    pillow_limit,
    samples_of_picture,
    samples_of_tiff,
    upright,
)
from tgn.runtime.errors import DataError
from tgn.runtime.memory import return_freed_memory

MAX_PIXELS = 100_000_000
MIN_SIDE = 4
BYTES_OF_PIXEL = 4  # that Pillow takes for colour, and that samples may take
LARGE = 64 << 20  # bytes of a decoded picture; of larger ones there is one at a time
SCALED = "16-bit or float scaled to 8-bit"  # a repair, as splits count it
HAS_NO_DATA = "NaN, infinite or no-data samples, drawn as the lowest"
T = TypeVar("T")
_ONE_LARGE = threading.RLock()  # a thread may use one while it decodes another


def open_image(file: Path | io.BytesIO) -> ImageFile.ImageFile:
    """Open a picture of any size without decoding it; the caller checks its size.

    Raises:
        OSError: if it is no picture.
    """
    with pillow_limit(None):
        return Image.open(file)


class Decoded(NamedTuple):
    """The content of a file, upright."""

    content: Image.Image | Samples  # Samples where a picture of bytes cannot hold it
    notes: tuple[str, ...]  # what was done to it


def use_decoded(data: bytes, bands: int, use: Callable[[Decoded], T], most: int = MAX_PIXELS) -> T:
    """Decode a picture's content and return what is made of it.

    Until then no other thread has a large picture: some of them would fill the memory.

    Args:
        data: the content.
        use: takes the picture, and keeps no part of it.
        bands: that are wanted: of a TIFF of bytes Pillow gives the first three, or one.
        most: pixels.

    Raises:
        DataError: unreadable, truncated, over ``most`` pixels or under 4 a side.
    """
    with ExitStack() as alone:  # it ends when the picture is gone: only ``use`` has it
        return use(_decode(data, bands, partial(_admit, alone, most)))


def _admit(alone: ExitStack, most: int, size: tuple[int, int], bytes_of_pixel: int) -> None:
    """Check the size of an image before its pixels are decoded, and wait for other large ones."""
    check_size(size, most)
    pixels = size[0] * size[1]
    if pixels * bytes_of_pixel > BYTES_OF_PIXEL * most:
        raise DataError(
            f"{size[0]}x{size[1]} pixels of {bytes_of_pixel} bytes, over the limit of "
            f"{BYTES_OF_PIXEL * most >> 20} MiB"
        )
    if pixels * bytes_of_pixel > LARGE:
        alone.enter_context(_ONE_LARGE)
        alone.callback(return_freed_memory)


def _decode(data: bytes, bands: int, admit: Admit) -> Decoded:
    try:
        return _decode_whole(data, bands, admit)
    except UnidentifiedImageError:
        raise DataError("not an image, or damaged at its beginning") from None
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(f"damaged or truncated: {' '.join(str(error).split())[:120]}") from None


def _decode_whole(data: bytes, bands: int, admit: Admit) -> Decoded:
    try:
        image = open_image(io.BytesIO(data))
    except UnidentifiedImageError:
        if not data.startswith(TIFF_STARTS):
            raise
        return _of_samples(samples_of_tiff(data, admit))
    if image.format == "TIFF" and bands not in (1, 3):
        return _of_samples(samples_of_tiff(data, admit))
    admit(image.size, BYTES_OF_PIXEL)
    samples = samples_of_picture(image, data, admit)
    if samples is not None:
        return _of_samples(samples)
    has_frames = image.format != "MPO" and getattr(image, "is_animated", False)
    turned = upright(image)
    notes = (
        "first of several frames or pages" if has_frames else "",
        "" if turned is image else "turned as its EXIF says",
        bands_left_out(image),
    )
    return Decoded(turned, tuple(note for note in notes if note))


def _of_samples(samples: Samples) -> Decoded:
    height, width, bands = samples.values.shape
    check_size((width, height), width * height)
    if samples.values.dtype == np.uint8:
        notes = list[str]()
    elif samples.all_valid:
        notes = [SCALED]
    else:
        notes = [SCALED, HAS_NO_DATA]
    if samples.without_alpha().values.shape[2] not in (1, 3):
        notes.append(f"{bands} bands: read with --set bands={bands}")
    return Decoded(samples, tuple(notes))


def bytes_of(samples: Samples, sample_range: SampleRange | None, bands: int) -> NDArray[np.uint8]:
    """Return samples as bytes, [H, W, bands of the file].

    Raises:
        DataError: if they are no bytes and no range is given.
    """
    if bands in (1, 3):
        samples = samples.without_alpha()
    if samples.values.dtype == np.uint8:
        return samples.values
    if sample_range is None:
        raise DataError(
            f"has {samples.values.dtype} samples, and no range to scale them to bytes by; images "
            "of a run have one (tgn split), others must be converted to 8 bits"
        )
    return samples.as_bytes(sample_range)


def with_bands(pixels: NDArray[np.uint8], bands: int) -> NDArray[np.uint8]:
    """Return [H, W, bands]: grey repeated, colour turned to grey, or as it is.

    Raises:
        DataError: for another number of bands.
    """
    stored = pixels.shape[2]
    if stored == bands:
        return pixels
    if (stored, bands) == (1, 3):
        return pixels.repeat(3, axis=2)
    if (stored, bands) == (3, 1):
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[:, :, None]
    raise DataError(f"has {stored} bands, {bands} are asked for; use --set bands={stored}")


def check_size(size: tuple[int, int], most: int) -> None:
    """Refuse an image (width, height) of more than ``most`` pixels or under 4 a side."""
    width, height = size
    if width * height > most:
        raise DataError(f"{width}x{height} pixels, over the limit of {most}")
    if min(size) < MIN_SIDE:
        raise DataError(f"{width}x{height} pixels, under {MIN_SIDE} a side")


def to_bands(image: Image.Image, bands: int) -> tuple[Image.Image, str]:
    """Return a picture of bytes as RGB or greyscale, and what was done to it ("" if nothing)."""
    mode = "RGB" if bands == 3 else "L"
    if image.mode == mode:
        return image, ""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA").convert(mode), "transparency dropped"
    if image.mode == "P":
        return image.convert(mode), "palette expanded"
    if image.mode in ("L", "1"):
        return image.convert(mode), "grey repeated over the bands"
    return image.convert(mode), f"{image.mode} converted to {mode}"
