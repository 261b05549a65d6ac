"""16-bit and float images: one range for a set, bands beyond three, and pictures upright."""

import io
import struct
import zlib
from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image

from tgn.data import images
from tgn.data.measured_range import IMAGES, measured_range, spread
from tgn.data.sample_range import range_called
from tgn.data.samples import Samples, samples_of_tiff
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.data.splits.split_list import read_split_list
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.progress import Silent

BANDS = {"photometric": "minisblack", "planarconfig": "contig"}


def tiff(values: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def png_of_16_bit(values: np.ndarray) -> bytes:
    """Pillow writes no 16-bit colour: signature, header, rows without filter, end."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, bands = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def colour_of_12_bit() -> np.ndarray:
    return np.arange(6 * 8 * 3, dtype=np.uint16).reshape(6, 8, 3) * 28


def test_samples_become_bytes_by_the_range_and_no_data_is_its_low_end():
    values = np.array([[-30, -25, -12.5, 0, 7, np.nan, np.inf, -9999, 3.4e38, -1]])[:, :, None]
    found = Samples(values, no_data=-1.0).as_bytes(((-25.0, 0.0),))
    assert found[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0, 0, 0, 0, 0]


def test_each_band_has_its_own_range_where_there_is_one_a_band():
    found = Samples(np.full((4, 4, 2), 5.0)).as_bytes(((0.0, 10.0), (5.0, 6.0)))
    assert found[0, 0].tolist() == [128, 0]
    with pytest.raises(DataError, match="has 3 bands, but the range of the set is of 2"):
        Samples(np.zeros((4, 4, 3))).as_bytes(((0.0, 1.0), (0.0, 1.0)))


@pytest.mark.parametrize("encode", [png_of_16_bit, partial(tiff, photometric="rgb")])
def test_colour_of_16_bits_keeps_its_low_bits(encode):
    values = colour_of_12_bit()
    data = encode(values)
    found = images.decode_resized(data, "x", 8, 3, ((0.0, 4095.0),))
    assert np.unique(found).size > 100
    whole = images.read_image(io.BytesIO(data), sample_range=((0.0, 4095.0),))
    assert np.array_equal(np.asarray(whole[0]), np.rint(values / 4095 * 255).astype(np.uint8))
    assert whole[1] == "16-bit or float scaled to 8-bit"


def test_transparency_of_16_bits_is_no_band():
    data = png_of_16_bit(np.full((6, 6, 4), 4095, np.uint16))
    assert images.decode_resized(data, "x.png", 6, 3, ((0.0, 4095.0),)).min() == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("bands", [2, 4, 13])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_of_a_tiff_are_read_in_their_order(dtype, bands, planar):
    values = np.tile(np.arange(bands, dtype=dtype) * 10, (8, 8, 1))
    stored = values if planar == "contig" else np.moveaxis(values, 2, 0)
    data = tiff(np.ascontiguousarray(stored), photometric="minisblack", planarconfig=planar)
    found = images.decode_resized(data, "x.tif", 8, bands, ((0.0, 255.0),))
    assert found[:, 3, 3].tolist() == [10 * band for band in range(bands)]
    assert f"{bands} bands: read with --set bands={bands}" in images.check_image(data, "x.tif")
    with pytest.raises(DataError, match=f"has {bands} bands, 3 are asked for"):
        images.decode_resized(data, "x.tif", 8, 3, ((0.0, 255.0),))


def test_a_fourth_band_of_bytes_is_read_where_it_is_asked_for():
    values = np.tile(np.array([10, 20, 30, 40], np.uint8), (8, 8, 1))
    data = tiff(values, photometric="rgb", planarconfig="contig", extrasamples=["unspecified"])
    assert images.decode_resized(data, "x.tif", 8, 3)[:, 0, 0].tolist() == [10, 20, 30]
    assert images.decode_resized(data, "x.tif", 8, 4)[:, 0, 0].tolist() == [10, 20, 30, 40]
    assert "4 bands, the first 3 read" in images.check_image(data, "x.tif")[0]


def test_what_has_no_range_is_refused_but_for_whole_files_of_16_bit():
    with pytest.raises(DataError, match="float32 samples, and no range"):
        images.read_image(io.BytesIO(tiff(np.zeros((8, 8), np.float32))))
    with pytest.raises(DataError, match="uint16 samples, and no range"):
        images.decode_resized(tiff(np.zeros((8, 8), np.uint16)), "x.tif", 8)


def test_complex_numbers_are_refused_by_name():
    with pytest.raises(DataError, match="^TIFF of complex64"):
        images.check_image(tiff(np.zeros((8, 8), np.complex64)), "x.tif")


def test_without_the_package_the_remedy_is_named(monkeypatch):
    data = tiff(np.zeros((8, 8, 2), np.uint8), **BANDS)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(DataError, match=r"^TIFF of .*pip install 'tgn\[bands\]'"):
        images.check_image(data, "x.tif")


def test_the_range_is_of_the_set_whatever_order_and_outliers(tmp_path):
    draw = np.random.default_rng(0)
    files = []
    for i in range(8):
        values = draw.uniform(-25, 0, (60, 60)).astype(np.float32)
        values[:10] = -9999
        values[10, :3] = (1e6, np.nan, 3.4e38)
        files.append(tmp_path / f"{i}.tif")
        files[-1].write_bytes(tiff(values))
    ((low, high),) = measured_range(files)
    assert (low, high) == (pytest.approx(-25, abs=0.5), pytest.approx(0, abs=0.5))
    assert measured_range(files[::-1]) == ((low, high),)
    Image.new("RGB", (8, 8)).save(tmp_path / "bytes.png")
    assert measured_range([tmp_path / "bytes.png"]) is None
    assert measured_range([*[tmp_path / "bytes.png"] * 3, *files]) == ((low, high),)


def test_bands_of_other_units_have_ranges_of_their_own(tmp_path):
    values = np.random.default_rng(0).uniform(0, 1, (50, 50, 2)) * [1, 1000]
    (tmp_path / "x.tif").write_bytes(tiff(values.astype(np.float32), **BANDS))
    (_, first), (_, second) = measured_range([tmp_path / "x.tif"])
    assert (first, second) == (pytest.approx(1, abs=0.02), pytest.approx(1000, abs=20))


def test_images_without_any_number_have_no_range(tmp_path):
    (tmp_path / "x.tif").write_bytes(tiff(np.full((8, 8), np.nan, np.float32)))
    with pytest.raises(DataError, match="all are NaN"):
        measured_range([tmp_path / "x.tif"])


def test_large_sets_are_measured_on_some():
    assert len(spread(list(range(10 * IMAGES + 7)))) == IMAGES
    assert spread([1, 2]) == [1, 2]


@pytest.mark.parametrize("given", ["", "4", "5,5", "1,0", "a,b", "0,inf", "nan,1", "modis"])
def test_a_range_that_is_none_is_refused(given):
    with pytest.raises(UserError, match="expected LOW,HIGH"):
        range_called(given)


def test_ranges_by_numbers_and_by_names():
    assert range_called("-25, 0") == ((-25.0, 0.0),) == range_called("sentinel-1")
    assert range_called("12-bit") == ((0.0, 4095.0),)


@pytest.fixture
def radar(in_tmp):
    """Two classes of dB images that differ in brightness alone, which a scale per image hides."""
    draw = np.random.default_rng(0)
    for label, name in enumerate(("field", "town")):
        (in_tmp / "data" / name).mkdir(parents=True)
        for i in range(10 - 2 * label):
            values = draw.normal(-20 + 12 * label, 1, (16, 16)).astype(np.float32)
            values[0, 0] = np.nan if i == 0 else values[0, 0]
            (in_tmp / "data" / name / f"{i}.tif").write_bytes(tiff(values))
    return in_tmp / "data"


def test_a_split_measures_records_and_applies_one_range(radar):
    run, split = split_run(radar, "radar", SplitSettings(), Silent())
    ((low, high),) = split.sample_range
    assert low == pytest.approx(-22, abs=1)
    assert high == pytest.approx(-6, abs=1)
    assert run.split().sample_range == split.sample_range
    assert run.recorded("run")["sample_range"] == [[low, high]]
    assert split.repairs == {
        "16-bit or float scaled to 8-bit": 18,
        "NaN, infinite or no-data samples, drawn as the lowest": 2,
    }
    assert any(note.startswith("16-bit and float samples: -2") for note in split.notes)
    found = run.split().image_set("train", run.path, 16)
    means = [found.batch(found.rows_of(k)).float().mean().item() for k in range(2)]
    assert means[1] - means[0] > 150
    assert found.subset(found.rows_of(1)).at_size(8).sample_range == split.sample_range


def test_a_given_range_counts_and_a_list_finds_the_same(radar):
    run, split = split_run(radar, "a", SplitSettings(range="sentinel-1"), Silent())
    assert split.sample_range == ((-25.0, 0.0),)
    assert "range=sentinel-1" in run.split_list_file.read_text()
    measured = split_run(radar, "b", SplitSettings(), Silent())
    settings = ListedSplitSettings(list_file=measured[0].split_list_file)
    assert read_split_list(settings.list_file).classes
    assert split_run(radar, "c", settings, Silent())[1].sample_range == measured[1].sample_range


def test_a_range_for_images_of_bytes_is_refused(in_tmp):
    for name in ("a", "b"):
        (in_tmp / "data" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (8, 8), (i, ord(name), 0)).save(in_tmp / "data" / name / f"{i}.png")
    with pytest.raises(DataError, match="every image has 8-bit samples"):
        split_run(in_tmp / "data", "x", SplitSettings(range="0,1"), Silent())
    assert split_run(in_tmp / "data", "y", SplitSettings(), Silent())[1].sample_range is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_pictures_are_turned_as_their_exif_says(tmp_path, orientation, name):
    """Row 0 and column 0 of what is stored are named by EXIF: top, right, bottom or left."""
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :12] = 200  # the top left quarter
    rows_last, columns_last = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    stored = upright[:: -1 if rows_last else 1, :: -1 if columns_last else 1]
    stored = np.ascontiguousarray(stored.T if orientation > 4 else stored)
    exif = Image.Exif()
    exif[274] = orientation
    file = tmp_path / f"x.{name.lower()}"
    Image.fromarray(stored).save(file, name, exif=exif)
    found = np.asarray(images.read_image(file, 1)[0])
    assert np.abs(found.astype(int) - upright).max() < 30
    assert images.image_size(file) == (24, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_samples_are_turned_too(tmp_path, orientation):
    upright = np.arange(16 * 24 * 2, dtype=np.float32).reshape(16, 24, 2)
    rows_last, columns_last = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    stored = upright[:: -1 if rows_last else 1, :: -1 if columns_last else 1]
    stored = np.ascontiguousarray(stored.swapaxes(0, 1) if orientation > 4 else stored)
    data = tiff(stored, **BANDS, extratags=[(274, "H", 1, orientation, True)])
    (tmp_path / "x.tif").write_bytes(data)
    assert np.array_equal(samples_of_tiff(data, lambda *_: None).values, upright)
    assert images.image_size(tmp_path / "x.tif") == (24, 16)


@pytest.mark.parametrize(
    ("suffix", "name"), [("ppm", "PPM"), ("gif", "GIF"), ("jfif", "JPEG"), ("jp2", "JPEG2000")]
)
def test_other_suffixes_are_read(suffix, name):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(stream, name)
    assert f".{suffix}" in images.SUFFIXES
    assert images.decode_resized(stream.getvalue(), f"x.{suffix}", 8)[0].min() > 190


def test_colour_of_more_bits_that_nothing_reads_is_refused():
    data = b"P6 8 8 4095\n" + bytes(8 * 8 * 3 * 2)
    with pytest.raises(DataError, match="PPM in colour with more than 8 bits"):
        images.check_image(data, "x.ppm")


def test_further_frames_are_said_to_be_left_out():
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (10, 200)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert "first of several frames or pages" in images.check_image(stream.getvalue(), "x.gif")


def test_hashes_of_samples_do_not_depend_on_a_range():
    values = np.zeros((8, 8), np.float32)
    values[0, 0] = 1
    little, big = (tiff(values, byteorder=order) for order in "<>")
    assert images.pixels_sha256(little, "x.tif") == images.pixels_sha256(big, "x.tif")
    assert images.pixels_sha256(little, "x.tif") != images.pixels_sha256(tiff(values * 2), "x.tif")
