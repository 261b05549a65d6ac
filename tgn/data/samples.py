"""Images that Pillow does not read whole: floats, more than 8 bits a sample, or many bands."""

import io
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from tgn.data.sample_range import SampleRange, described
from tgn.runtime.errors import DataError

NO_DATA = (-9999.0, -99999.0, -32768.0)  # values that mean "no data" where no tag says so
BEYOND = 1e30  # the largest floats mean "no data" too
ALPHA = (1, 2)  # kinds of ExtraSamples, TIFF 6.0, page 31
GDAL_NODATA, BITS, BANDS, EXTRA = 42113, 258, 277, 338  # TIFF tags
ORIENTATION = 274  # a TIFF tag, and EXIF's
SAMPLES_AT_ONCE = 1 << 20  # of which something is computed
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)  # tiles of a TIFF
# What Pillow, tifffile and their codecs raise at damage: they have no common class.
DAMAGE = (
    OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, EOFError,
    struct.error, *BOMBS,
)  # fmt: skip
SMALL_FOR_PILLOW = 50_000_000  # pixels; it warns of 89 million
_PILLOW_LIMIT = threading.Lock()
NEEDS = "reading it needs {}; pip install 'tgn[bands]'"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
Admit = Callable[[tuple[int, int], int], None]
"""Takes (width, height) and bytes a pixel; raises DataError for an image that is too large."""


class Samples(NamedTuple):
    """The samples of an image as they are stored."""

    values: NDArray[Any]  # [H, W, bands]
    no_data: float | None = None  # the value that the file names
    has_alpha: bool = False  # the last band

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which samples are numbers of the scene, [H, W, bands]."""
        values = self.values
        valid = np.isfinite(values)
        if values.dtype.kind != "u":
            valid &= (np.abs(values) < BEYOND) & ~np.isin(values, NO_DATA)
        return valid if self.no_data is None else valid & (values != self.no_data)

    @property
    def all_valid(self) -> bool:
        """Whether every sample is a number of the scene."""
        return all(bool(part.valid.all()) for _, part in self._blocks())

    def _blocks(self) -> Iterator[tuple[slice, "Samples"]]:
        """Yield some rows at a time: what is computed of them takes several times their memory."""
        height, width, bands = self.values.shape
        step = max(SAMPLES_AT_ONCE // (width * bands), 1)
        for top in range(0, height, step):
            rows = slice(top, top + step)
            yield rows, self._replace(values=self.values[rows])

    def as_bytes(self, sample_range: SampleRange) -> NDArray[np.uint8]:
        """Return the samples with ``low..high`` as 0..255, [H, W, bands]; what is no data as 0.

        Raises:
            DataError: if the range is of another number of bands.
        """
        bands = self.values.shape[2]
        if len(sample_range) not in (1, bands):
            raise DataError(
                f"has {bands} bands, but the range of the set is of {len(sample_range)} "
                f"({described(sample_range)}); keep images of one number of bands in a run"
            )
        low, high = np.array(sample_range, np.float64).T
        scaled = np.empty(self.values.shape, np.uint8)
        for rows, part in self._blocks():
            values = np.where(part.valid, part.values, low)
            values = (values.clip(low, high) - low) * 255.0 / (high - low)
            scaled[rows] = np.rint(values)
        return scaled

    def without_alpha(self) -> "Samples":
        """Return the samples without their transparency."""
        if not self.has_alpha:
            return self
        return self._replace(values=self.values[:, :, :-1], has_alpha=False)


def samples_of_picture(image: ImageFile.ImageFile, data: bytes, admit: Admit) -> Samples | None:
    """Return the samples of an opened picture of which Pillow would give the high bits only.

    Args:
        image: not loaded yet.
        data: the content of its file.
        admit: is asked before pixels are decoded.

    Returns:
        None for a picture of at most 8 bits a sample.

    Raises:
        DataError: if no installed package reads it.
        OSError: if it is damaged.
    """
    tags = getattr(image, "tag_v2", {})
    if tags and _is_beyond_pillow(image, tags):
        return samples_of_tiff(data, admit)
    if image.mode.startswith("I") or image.mode == "F":
        return Samples(np.asarray(upright(image))[:, :, None], _number(tags.get(GDAL_NODATA)))
    if image.format == "PNG" and image.tile and "16B" in str(image.tile[0].args):
        return _samples_of_png(data, orientation_of(image))
    if _is_deep_colour(image, data):
        raise DataError(
            f"{image.format} in colour with more than 8 bits a sample; convert it to PNG or TIFF"
        )
    return None


def _is_beyond_pillow(image: Image.Image, tags: Any) -> bool:
    """Whether a TIFF has several bands of more than 8 bits, or two that Pillow takes for LA."""
    if tags.get(BANDS, 1) == 1:
        return False
    is_deep = max(tags.get(BITS, (1,))) > 8
    return is_deep or (image.mode == "LA" and tags.get(EXTRA, (0,))[0] not in ALPHA)


def bands_left_out(image: Image.Image) -> str:
    """Return a note of the bands of a TIFF that Pillow leaves out, "" if there are none."""
    bands = getattr(image, "tag_v2", {}).get(BANDS, 1)
    if bands <= len(image.getbands()):
        return ""
    return f"{bands} bands, the first {len(image.getbands())} read: --set bands={bands} reads all"


def _is_deep_colour(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether a colour picture of a format that only Pillow reads has more than 8 bits."""
    if image.format == "PPM":
        largest = image.tile[0].args[-1] if isinstance(image.tile[0].args, tuple) else 255
        return isinstance(largest, int) and largest > 255
    if image.format != "JPEG2000":
        return False
    start = data.find(b"\xff\x4f\xff\x51")  # SOC and SIZ; Ssiz lies 42 bytes on: ISO 15444-1, A.5.1
    return start >= 0 and len(data) > start + 42 and (data[start + 42] & 0x7F) + 1 > 8


@contextmanager
def pillow_limit(pixels: int | None) -> Iterator[None]:
    """Set Pillow's own limit of pixels; ours is checked before a pixel is decoded.

    The limit is a global of the host program, so it is put back at once, and one thread changes it
    at a time.

    Args:
        pixels: that it warns of; None: no limit.
    """
    with _PILLOW_LIMIT:
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def upright(image: Image.Image) -> Image.Image:
    """Decode a picture and turn it as its EXIF says; the same object if there is nothing to turn.

    Pillow itself turns TIFF files when it decodes them.
    """
    is_turned = image.format != "TIFF" and orientation_of(image) != 1
    pixels = image.width * image.height
    # of a TIFF its tiles are checked too, which are larger than a picture that they overlap
    with nullcontext() if pixels < SMALL_FOR_PILLOW else pillow_limit(2 * pixels):
        image.load()
    return ImageOps.exif_transpose(image) if is_turned else image


def size_of_picture(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an opened picture, upright; decodes nothing."""
    tags = getattr(image, "tag_v2", None)
    size = (tags[256], tags[257]) if tags else image.size  # Pillow 11 turns late, 12 early
    return (size[1], size[0]) if orientation_of(image) > 4 else size


def orientation_of(image: Image.Image) -> int:
    """Return how a picture is stored, 1 (upright) to 8; 1 where its EXIF is damaged.

    Source: EXIF 2.3, section 4.6.4.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole picture to look for it
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DAMAGE:
        return 1
    return found if found in range(1, 9) else 1


def _samples_of_png(data: bytes, orientation: int) -> Samples:
    """Read a PNG of 16-bit colour; Pillow keeps the high bytes only."""
    try:
        import imagecodecs
    except ModuleNotFoundError:
        raise DataError(f"PNG of 16-bit colour: {NEEDS.format('imagecodecs')}") from None
    try:
        values = imagecodecs.png_decode(data)
    except imagecodecs.PngError as error:
        raise OSError(str(error)) from None
    return Samples(_turned(values, orientation), has_alpha=values.shape[2] in (2, 4))


def samples_of_tiff(data: bytes, admit: Admit) -> Samples:
    """Read the first page of a TIFF of any bands and numbers, upright.

    Args:
        data: its content.
        admit: is asked before pixels are decoded.

    Raises:
        DataError: for complex numbers or another kind of page; or if a package is not installed.
        OSError: if it is damaged.
    """
    with _opened(data) as tiff:
        page = _first_page(tiff)
        size = int(page.imagewidth), int(page.imagelength)
        admit(size, max(int(page.nbytes) // max(size[0] * size[1], 1), 1))
        values = _decoded(page)
        is_plane = page.axes in ("YX", "YXS", "SYX") and values.ndim == len(page.axes)
        if not is_plane or values.dtype.kind not in "uif":
            raise DataError(
                f"TIFF of {values.dtype} {page.axes}; expected real numbers, a plane or bands of it"
            )
        values = values[:, :, None] if values.ndim == 2 else values
        values = np.moveaxis(values, 0, 2) if page.axes == "SYX" else values
        tag = page.tags.get(ORIENTATION)
        extra = page.extrasamples
        no_data = page.tags.get(GDAL_NODATA)
        return Samples(
            np.ascontiguousarray(_turned(values, int(tag.value) if tag else 1)),
            _number(no_data.value if no_data else None),
            values.shape[2] > 1 and bool(extra) and int(extra[-1]) in ALPHA,
        )


def size_of_tiff(file: Path) -> tuple[int, int]:
    """Return width and height of a TIFF's first page, upright; reads no pixels."""
    with _opened(file) as tiff:
        page = _first_page(tiff)
        tag = page.tags.get(ORIENTATION)
        size = int(page.imagewidth), int(page.imagelength)
    return (size[1], size[0]) if tag and int(tag.value) > 4 else size


def _opened(file: bytes | Path) -> Any:
    try:
        import tifffile
    except ModuleNotFoundError:
        raise DataError(
            f"TIFF of several bands, or of 16-bit or float colour: {NEEDS.format('tifffile')}"
        ) from None
    try:
        return tifffile.TiffFile(io.BytesIO(file) if isinstance(file, bytes) else file)
    except (*DAMAGE, tifffile.TiffFileError) as error:
        raise OSError(str(error)) from None


def _first_page(tiff: Any) -> Any:
    if not len(tiff.pages):
        raise OSError("a TIFF without a page")
    return tiff.pages[0]


def _decoded(page: Any) -> NDArray[Any]:
    try:
        values: NDArray[Any] = page.asarray()
    except Exception as error:  # of tifffile and of each of its codecs, which have no common class
        raise OSError(str(error)) from None
    return values


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return [H, W, bands] as TIFF 6.0 says on page 36: row 0 at the top, column 0 at the left."""
    if orientation > 4:
        values = values.swapaxes(0, 1)
    upside_down = orientation in (3, 4, 7, 8)
    mirrored = orientation in (2, 3, 6, 7)
    return values[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def _number(text: Any) -> float | None:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None
