"""Decode and encode image files; unusual files are converted, and the conversion is named."""

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from tgn.data.shards import read_file
from tgn.runtime.errors import DataError

ARRAY = ".npy"  # [H, W, bands] bytes, for images of other than one or three bands
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ARRAY})
MAX_PIXELS = 100_000_000
MAX_PIXELS_OF_SCENE = 1_000_000_000  # an aerial image that is cut: DOTA's largest has 807 million
MIN_SIDE = 4
_PILLOW_LIMIT = threading.Lock()

ImageFormat = Literal["png", "jpeg"]


@contextmanager
def _without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's pixel limit for one opening: ours is checked before a pixel is decoded.

    The limit is a global of the host program, so it is put back at once, and one thread lifts it
    at a time.
    """
    with _PILLOW_LIMIT:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def open_image(file: Path | io.BytesIO) -> Image.Image:
    """Open a picture of any size without decoding it; the caller checks its size.

    Raises:
        OSError: if it is no picture.
    """
    with _without_pillow_limit():
        return Image.open(file)


def image_size(file: Path) -> tuple[int, int]:
    """Return width and height of a picture that may be a whole scene; reads its head only.

    Raises:
        DataError: if it is no picture, over a gigapixel or under 4 pixels a side.
    """
    try:
        with open_image(file) as picture:
            _check_size(picture, MAX_PIXELS_OF_SCENE)
            return picture.size
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError):
        raise DataError("not an image, or damaged at its beginning") from None


def read_image(
    file: Path | io.BytesIO, bands: int = 3, most: int = MAX_PIXELS
) -> tuple[Image.Image, str]:
    """Decode a whole image as RGB (``bands`` 3) or greyscale (1).

    Returns:
        The image, and the repair that was needed ("" if none): 16-bit samples are scaled to 8,
        palettes and CMYK are converted, transparency is dropped, grey is repeated over the bands.

    Raises:
        DataError: unreadable, truncated, over ``most`` pixels or under 4 a side.
    """
    try:
        image = open_image(io.BytesIO(read_file(file)) if isinstance(file, Path) else file)
        _check_size(image, most)
        image.load()
    except UnidentifiedImageError:
        raise DataError("not an image, or damaged at its beginning") from None
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"damaged or truncated: {' '.join(str(error).split())[:120]}") from None
    return _to_bands(image, bands)


def _check_size(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        raise DataError(f"{image.width}x{image.height} pixels, over the limit of {most}")
    if min(image.size) < MIN_SIDE:
        raise DataError(f"{image.width}x{image.height} pixels, under {MIN_SIDE} a side")


def read_array(file: io.BytesIO) -> NDArray[np.uint8]:
    """Read a ``.npy`` file of any number of bands: bytes [H, W, bands].

    Raises:
        DataError: for another shape or kind of number, or a damaged file; objects are never read.
    """
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"no array: {' '.join(str(error).split())[:120]}") from None
    if array.ndim != 3 or array.dtype != np.uint8 or min(array.shape[:2]) < MIN_SIDE:
        raise DataError(
            f"array is {array.dtype} {[*array.shape]}; expected uint8 [H, W, bands], H and W >= "
            f"{MIN_SIDE}: scale other numbers to bytes first"
        )
    return array


def check_image(data: bytes, name: str) -> str:
    """Decode a file's content; return the repair that it needs, "" if none.

    Raises:
        DataError: if it cannot be read.
    """
    if name.lower().endswith(ARRAY):
        read_array(io.BytesIO(data))
        return ""
    return read_image(io.BytesIO(data))[1]


def pixels_sha256(data: bytes, name: str) -> str:
    """Return the hexadecimal SHA-256 of decoded pixels: the same whatever the file's compression.

    What is hashed: height, width and bands as decimal numbers with a space between them, a newline,
    then the bytes, row by row, bands innermost; pictures as RGB, arrays as they are.

    Raises:
        DataError: if the content cannot be read.
    """
    stream = io.BytesIO(data)
    is_array = name.lower().endswith(ARRAY)
    pixels = read_array(stream) if is_array else np.asarray(read_image(stream)[0])
    shape = " ".join(str(length) for length in pixels.shape)
    return hashlib.sha256(f"{shape}\n".encode() + pixels.tobytes()).hexdigest()


def _to_bands(image: Image.Image, bands: int) -> tuple[Image.Image, str]:
    mode = "RGB" if bands == 3 else "L"
    if image.mode == mode:
        return image, ""
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled_to_8_bit(image).convert(mode), "16-bit or float scaled to 8-bit"
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return image.convert("RGBA").convert(mode), "transparency dropped"
    if image.mode == "P":
        return image.convert(mode), "palette expanded"
    if image.mode in ("L", "1"):
        return image.convert(mode), "grey repeated over the bands"
    return image.convert(mode), f"{image.mode} converted to {mode}"


def _scaled_to_8_bit(image: Image.Image) -> Image.Image:
    """Divide by 256 where samples use the 16-bit range, by the maximum where they do not."""
    samples = np.asarray(image, dtype=np.float64)
    largest = float(samples.max(initial=0.0))
    scale = 1.0 if largest <= 255 else 256.0 if largest <= 65535 else largest / 255
    return Image.fromarray(np.clip(samples / scale, 0, 255).astype(np.uint8))


def decode_resized(data: bytes, name: str, size: int, bands: int = 3) -> NDArray[np.uint8]:
    """Decode a file's content as [bands, size, size] bytes; the aspect is not kept.

    Args:
        data: the content.
        name: of the file; its suffix tells arrays from pictures.
        size: side in pixels (chips are square).
        bands: of the result.

    Raises:
        DataError: if it cannot be read, or has another number of bands and no rule to convert it.
    """
    if name.lower().endswith(ARRAY):
        return _resized_array(read_array(io.BytesIO(data)), size, bands)
    if bands not in (1, 3):
        raise DataError(f"has at most 3 bands, {bands} are asked for; use {ARRAY} files")
    image, _ = read_image(io.BytesIO(data), bands)
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
