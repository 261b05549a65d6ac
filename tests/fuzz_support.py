"""Malformed content: whole files of every kind that is read, and seeded damage to them."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import tifffile
from PIL import Image

SIDE = 24


def pixels(bands: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Return made-up samples, [SIDE, SIDE, bands]."""
    values = np.random.default_rng(seed).random((SIDE, SIDE, bands)) * 250
    return values.astype(dtype)


def _picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(3)).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def _tiff(bands: int, dtype: str, **options: object) -> bytes:
    stream = io.BytesIO()
    values = pixels(bands, dtype)
    tifffile.imwrite(stream, values if bands > 1 else values[:, :, 0], **options)
    return stream.getvalue()


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()


def _gif() -> bytes:
    stream = io.BytesIO()
    frames = [Image.fromarray(pixels(3, seed=k)).convert("P") for k in range(3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def _png16() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(1, "uint16")[:, :, 0]).save(stream, "PNG")
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, pixels(4))
    return stream.getvalue()


GREY = {"photometric": "minisblack"}


@cache
def whole_images() -> dict[str, bytes]:
    """Return a whole file of every kind, by a name that has its suffix."""
    return {
        "rgb.png": _picture("PNG"),
        "palette.png": _picture("PNG", "P", transparency=0),
        "alpha.png": _picture("PNG", "RGBA"),
        "grey16.png": _png16(),
        "rgb.jpg": _picture("JPEG", exif=_exif(6)),
        "cmyk.jpg": _picture("JPEG", "CMYK"),
        "rgb.webp": _picture("WEBP"),
        "rgb.bmp": _picture("BMP"),
        "frames.gif": _gif(),
        "rgb.ppm": _picture("PPM"),
        "rgb.jp2": _picture("JPEG2000"),
        "rgb.tif": _tiff(3, "uint8", compression="zlib", photometric="rgb"),
        "grey16.tif": _tiff(1, "uint16", compression="zlib"),
        "float.tif": _tiff(1, "float32", compression="lzw", predictor=True),
        "rgb16.tif": _tiff(3, "uint16", photometric="rgb"),
        "bands5.tif": _tiff(5, "uint16", tile=(16, 16), compression="zlib", **GREY),
        "big.tif": _tiff(2, "float32", bigtiff=True, planarconfig="contig", **GREY),
        "pillow.tif": _picture("TIFF", compression="tiff_adobe_deflate"),
        "array.npy": _npy(),
    }


def _members() -> Iterator[tuple[str, bytes]]:
    names = list(whole_images())[:8]
    for number, name in enumerate(names):
        yield f"{number:03d}.{name.rpartition('.')[2]}", whole_images()[name]
        yield f"{number:03d}.cls", str(number % 2).encode()


@cache
def whole_shard(kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar file of samples."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for name, data in _members():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@cache
def whole_zip() -> bytes:
    """Return a zip of class folders."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, data) in enumerate(whole_images().items()):
            archive.writestr(f"{'ab'[number % 2]}/{name}", data)
    return stream.getvalue()


def _flip(data: bytearray, draw: np.random.Generator) -> bytearray:
    for _ in range(int(draw.integers(1, 9))):
        data[int(draw.integers(len(data)))] ^= 1 << int(draw.integers(8))
    return data


def _flip_head(data: bytearray, draw: np.random.Generator) -> bytearray:
    for _ in range(int(draw.integers(1, 5))):
        data[int(draw.integers(min(len(data), 160)))] = int(draw.integers(256))
    return data


def _cut(data: bytearray, draw: np.random.Generator) -> bytearray:
    return data[: int(draw.integers(len(data)))]


def _prepend(data: bytearray, draw: np.random.Generator) -> bytearray:
    return bytearray(draw.bytes(int(draw.integers(1, 20)))) + data


def _blank(data: bytearray, draw: np.random.Generator) -> bytearray:
    start = int(draw.integers(len(data)))
    stop = min(start + int(draw.integers(1, 64)), len(data))
    data[start:stop] = bytes([int(draw.choice([0, 127, 255]))]) * (stop - start)
    return data


def _repeat(data: bytearray, draw: np.random.Generator) -> bytearray:
    start, stop = sorted(int(one) for one in draw.integers(len(data), size=2))
    return data[:stop] + data[start:]


Damage = Callable[[bytearray, np.random.Generator], bytearray]
DAMAGES: tuple[Damage, ...] = (_flip, _flip_head, _cut, _prepend, _blank, _repeat)


def damaged(data: bytes, seed: int) -> bytes:
    """Return content that is damaged in one way, the same for the same seed."""
    draw = np.random.default_rng(seed)
    return bytes(DAMAGES[seed % len(DAMAGES)](bytearray(data), draw))
