import io

import numpy as np
import pytest
import torch
from PIL import Image

from tgn.data import images
from tgn.runtime.errors import DataError


def stored(image: Image.Image, name: str = "PNG") -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, name)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    ("image", "repair"),
    [
        (Image.new("RGB", (8, 8)), ""),
        (Image.new("L", (8, 8), 7), "grey repeated over the bands"),
        (Image.new("1", (8, 8)), "grey repeated over the bands"),
        (Image.new("RGBA", (8, 8)), "transparency dropped"),
        (Image.new("LA", (8, 8)), "transparency dropped"),
        (Image.new("P", (8, 8)), "palette expanded"),
        (Image.fromarray(np.full((8, 8), 40000, np.uint16)), "16-bit or float scaled to 8-bit"),
    ],
)
def test_odd_modes_are_repaired_and_the_repair_is_named(image, repair):
    read, note = images.read_image(stored(image))
    assert (read.mode, read.size, note) == ("RGB", (8, 8), repair)


def test_16_bit_is_scaled_not_clipped():
    image = Image.fromarray(np.full((8, 8), 32768, np.uint16))
    assert np.asarray(images.read_image(stored(image))[0])[0, 0, 0] == 128


def test_truncated_and_foreign_bytes_are_refused():
    whole = stored(
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    )
    with pytest.raises(DataError, match="truncated"):
        images.read_image(io.BytesIO(whole.getvalue()[:2000]))
    with pytest.raises(DataError, match="not an image"):
        images.read_image(io.BytesIO(b"hello"))


def test_tiny_and_huge_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="under 4"):
        images.read_image(stored(Image.new("RGB", (3, 9))))
    with pytest.raises(DataError, match="over the limit"):
        images.read_image(stored(Image.new("RGB", (8, 8))), most=50)
    wide = tmp_path / "wide.png"
    Image.new("1", (40_000, 30_000)).save(wide)  # few bytes, 1.2 gigapixels
    for read in (images.read_image, images.image_size):
        with pytest.raises(DataError, match="over the limit"):
            read(wide)


def test_bytes_and_floats_round_trip():
    all_bytes = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = images.to_pm1(all_bytes)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(images.to_u8(floats), all_bytes)
    assert torch.equal(images.to_u8(torch.tensor([-9.0, 9.0])), torch.tensor([0, 255]).byte())


def test_png_is_lossless_and_jpeg_is_near():
    image = torch.randint(0, 255, (3, 16, 16), dtype=torch.uint8)
    png = np.asarray(Image.open(io.BytesIO(images.encode_image(image, "png"))))
    assert np.array_equal(png, image.permute(1, 2, 0).numpy())
    assert Image.open(io.BytesIO(images.encode_image(image[:1], "jpeg"))).mode == "L"


def test_pillows_own_limit_is_left_as_the_host_program_has_it(tmp_path, monkeypatch):
    """Importing the toolkit used to switch the guard off for everybody in the process."""
    assert Image.MAX_IMAGE_PIXELS is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    wide = tmp_path / "wide.png"
    Image.new("1", (40, 30)).save(wide)
    assert images.image_size(wide) == (40, 30)  # ours is the limit that counts
    assert images.read_image(wide)[0].size == (40, 30)
    assert Image.MAX_IMAGE_PIXELS == 100
