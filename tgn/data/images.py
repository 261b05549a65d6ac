"""Decode and encode image files; unusual files are converted, and the conversion is named."""

import hashlib
import io
import math
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from tgn.data.decoding import (
    MAX_PIXELS,
    MIN_SIDE,
    Decoded,
    bytes_of,
    check_size,
    open_image,
    to_bands,
    use_decoded,
    with_bands,
)
from tgn.data.sample_range import SampleRange
from tgn.data.samples import DAMAGE, TIFF_STARTS, Samples, size_of_picture, size_of_tiff
from tgn.data.shards import read_file
from tgn.runtime.errors import DataError

ARRAY = ".npy"  # [H, W, bands] bytes, for images of other than one or three bands
PICTURES = ".png .jpg .jpeg .jfif .jp2 .bmp .gif .ppm .tif .tiff .webp"
SUFFIXES = frozenset({*PICTURES.split(), ARRAY})
MAX_PIXELS_OF_SCENE = 1_000_000_000  # an aerial image that is cut: DOTA's largest has 807 million
RANGES = {"uint16": ((0.0, 65535.0),)}  # of kinds of numbers, for a file that is of no set

ImageFormat = Literal["png", "jpeg"]


def image_size(file: Path) -> tuple[int, int]:
    """Return width and height of a picture that may be a whole scene; reads its head only.

    They are those of the picture as :func:`read_image` turns it.

    Raises:
        DataError: if it is no picture, over a gigapixel or under 4 pixels a side.
    """
    try:
        with open_image(file) as picture:
            size = size_of_picture(picture)
    except UnidentifiedImageError:
        size = _size_of_tiff(file)
    except DAMAGE:
        raise DataError("not an image, or damaged at its beginning") from None
    check_size(size, MAX_PIXELS_OF_SCENE)
    return size


def _size_of_tiff(file: Path) -> tuple[int, int]:
    try:
        with file.open("rb") as stream:
            if stream.read(4) in TIFF_STARTS:
                return size_of_tiff(file)
    except DataError:
        raise
    except DAMAGE:
        pass
    raise DataError("not an image, or damaged at its beginning")


def read_image(
    file: Path | io.BytesIO,
    bands: int = 3,
    most: int = MAX_PIXELS,
    sample_range: SampleRange | None = None,
) -> tuple[Image.Image, str]:
    """Decode a whole image as RGB (``bands`` 3) or greyscale (1), turned as its EXIF says.

    Args:
        file: its path or content.
        bands: of the result.
        most: pixels.
        sample_range: what 16-bit and float samples are scaled by; without, 16-bit ones are scaled
            by all that they can hold and floats are refused.

    Returns:
        The image, and the repair that was needed ("" if none): 16-bit samples are scaled to 8,
        palettes and CMYK are converted, transparency is dropped, grey is repeated over the bands.

    Raises:
        DataError: unreadable, truncated, over ``most`` pixels or under 4 a side.
    """
    data = read_file(file, 3 * most) if isinstance(file, Path) else file.getvalue()

    def as_picture(found: Decoded) -> tuple[Image.Image, str]:
        content, notes = found
        if isinstance(content, Image.Image):
            image, note = to_bands(content, bands)
            return image, "; ".join((*notes, note) if note else notes)
        known = sample_range or RANGES.get(content.values.dtype.name)
        pixels = with_bands(bytes_of(content, known, bands), bands)
        picture = Image.fromarray(pixels if bands == 3 else np.ascontiguousarray(pixels[:, :, 0]))
        return picture, "; ".join(notes)

    return use_decoded(data, bands, as_picture, most)


def read_array(file: io.BytesIO) -> NDArray[np.uint8]:
    """Read a ``.npy`` file of any number of bands: bytes [H, W, bands].

    Raises:
        DataError: for another shape or kind of number, or a damaged file; objects are never read.
    """
    try:
        shape, is_fortran, dtype = _header_of_array(file)
    except (*DAMAGE, TokenError) as error:
        raise DataError(f"no array: {' '.join(str(error).split())[:120]}") from None
    if len(shape) != 3 or dtype != np.uint8 or min(shape[:2]) < MIN_SIDE or shape[2] < 1:
        raise DataError(
            f"array is {dtype} {[*shape]}; expected uint8 [H, W, bands], H and W >= "
            f"{MIN_SIDE}: scale other numbers to bytes first"
        )
    values = np.frombuffer(file.read(), np.uint8)
    if values.size != math.prod(shape):
        raise DataError(f"array of {[*shape]} with {values.size} bytes: damaged or truncated")
    return values.reshape(shape, order="F" if is_fortran else "C").copy()


def _header_of_array(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, order and kind of number: before memory is taken for what they promise."""
    version, _ = np.lib.format.read_magic(file)
    if version == 1:
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def check_image(data: bytes, name: str) -> tuple[str, ...]:
    """Decode a file's content; return the repairs that it needs.

    Raises:
        DataError: if it cannot be read.
    """
    if name.lower().endswith(ARRAY):
        read_array(io.BytesIO(data))
        return ()
    return use_decoded(data, 3, _repairs)


def _repairs(found: Decoded) -> tuple[str, ...]:
    content, notes = found
    note = to_bands(content, 3)[1] if isinstance(content, Image.Image) else ""
    return (*notes, note) if note else notes


def pixels_sha256(data: bytes, name: str) -> str:
    """Return the hexadecimal SHA-256 of decoded pixels: the same whatever the file's compression.

    What is hashed: height, width and bands as decimal numbers with a space between them, a newline,
    then the bytes, row by row, bands innermost; pictures as RGB, arrays as they are, 16-bit and
    float samples as they are stored, little-endian.

    Raises:
        DataError: if the content cannot be read.
    """
    if name.lower().endswith(ARRAY):
        return _sha256_of_pixels(read_array(io.BytesIO(data)))
    return use_decoded(data, 3, lambda found: _sha256_of_pixels(_pixels(found)))


def _pixels(found: Decoded) -> NDArray[Any]:
    if isinstance(found.content, Samples):
        return found.content.values
    return np.asarray(to_bands(found.content, 3)[0])


def _sha256_of_pixels(pixels: NDArray[Any]) -> str:
    shape = " ".join(str(length) for length in pixels.shape)
    stored = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(f"{shape}\n".encode() + stored.tobytes()).hexdigest()


def decode_resized(
    data: bytes, name: str, size: int, bands: int = 3, sample_range: SampleRange | None = None
) -> NDArray[np.uint8]:
    """Decode a file's content as [bands, size, size] bytes; the aspect is not kept.

    Args:
        data: the content.
        name: of the file; its suffix tells arrays from pictures.
        size: side in pixels (chips are square).
        bands: of the result.
        sample_range: of the set; 16-bit and float samples are refused without it.

    Raises:
        DataError: if it cannot be read, or has another number of bands and no rule to convert it.
    """
    if name.lower().endswith(ARRAY):
        return _resized_array(read_array(io.BytesIO(data)), size, bands)

    def resized(found: Decoded) -> NDArray[np.uint8]:
        if isinstance(found.content, Image.Image):
            return _resized_picture(found.content, size, bands)
        pixels = with_bands(bytes_of(found.content, sample_range, bands), bands)
        return _resized_array(pixels, size, bands)

    return use_decoded(data, bands, resized)


def _resized_picture(picture: Image.Image, size: int, bands: int) -> NDArray[np.uint8]:
    if bands not in (1, 3):
        raise DataError(f"has at most 3 bands, {bands} are asked for; use {ARRAY} or TIFF files")
    image, _ = to_bands(picture, bands)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(image, dtype=np.uint8)
    return np.ascontiguousarray(pixels.reshape(size, size, bands).transpose(2, 0, 1))


def _resized_array(array: NDArray[np.uint8], size: int, bands: int) -> NDArray[np.uint8]:
    if array.shape[2] != bands:
        raise DataError(f"has {array.shape[2]} bands, {bands} are asked for; use --set bands=")
    if array.shape[:2] == (size, size):
        return np.ascontiguousarray(array.transpose(2, 0, 1))
    resized = [
        Image.fromarray(np.ascontiguousarray(array[:, :, k])).resize(
            (size, size), Image.Resampling.BICUBIC, reducing_gap=3.0
        )
        for k in range(bands)
    ]
    return np.stack([np.asarray(band, dtype=np.uint8) for band in resized])


def encode_image(image_u8: Tensor, image_format: ImageFormat) -> bytes:
    """Encode [bands, H, W] bytes as PNG or JPEG (quality 95, no chroma subsampling)."""
    pixels = image_u8.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    stream = io.BytesIO()
    if image_format == "png":
        picture.save(stream, "PNG", compress_level=1)
    else:
        picture.save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def to_pm1(images_u8: Tensor) -> Tensor:
    """Map bytes 0..255 to floats in [-1, 1]."""
    return images_u8.float().div_(127.5).sub_(1.0)


def to_u8(images_pm1: Tensor) -> Tensor:
    """Map floats to bytes, clamping what lies outside [-1, 1]; rounds to the nearest."""
    return images_pm1.float().add(1.0).mul(127.5).round().clamp(0, 255).byte()
