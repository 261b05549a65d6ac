"""Malformed images, shards and archives × every reader: it is read, or one error of ours says why.

Each case is a whole file with one seeded damage. Nothing but our own errors may come, nothing may
take longer than some seconds, and the whole stays under two gigabytes of memory.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fuzz_support import damaged, whole_images, whole_shard, whole_zip
from layout_support import fill
from PIL import Image

from tgn.data import decoding
from tgn.data.image_folders import image_side
from tgn.data.images import check_image, decode_resized, image_size, pixels_sha256, read_image
from tgn.data.measured_range import measured_range
from tgn.data.shards import label_of, samples
from tgn.data.splits.archives import extract_zip
from tgn.data.splits.make_split import plan_split
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError
from tgn.runtime.memory import peak_mib
from tgn.runtime.progress import Silent

SECONDS = 30  # of one case; a damaged header may promise a large picture
MOST_MIB = 2000
FEW, MANY = 6, 400  # seeds of each kind of file: in the default run, and with -m fuzz
RANGE = ((0.0, 1.0),)
Case = tuple[str, Callable[[], object]]


def image_cases(name: str, data: bytes, file: Path) -> Iterator[Case]:
    """Yield every reader of one image: its content, and the file."""
    yield "check_image", lambda: check_image(data, name)
    for bands in (1, 3, 5):
        yield f"decode_resized {bands}", lambda b=bands: decode_resized(data, name, 16, b, RANGE)
    yield "pixels_sha256", lambda: pixels_sha256(data, name)
    yield "image_side", lambda: image_side(file)
    yield "measured_range", lambda: measured_range([file])
    if not name.endswith(".npy"):
        yield "read_image", lambda: read_image(io.BytesIO(data))
        yield "image_size", lambda: image_size(file)


def wrong_end(reader: Callable[[], object]) -> str:
    """Return what is wrong with the end of a reader, "" if it read or named the damage."""
    began = time.monotonic()
    try:
        reader()
    except DataError as error:
        if "\n" in str(error):
            return f"several lines: {error}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{error!r:.200} at {last.filename}:{last.lineno}"
    return "" if time.monotonic() - began < SECONDS else "too slow"


def attack_images(folder: Path, seeds: range) -> Iterator[str]:
    for name, whole in whole_images().items():
        file = folder / f"x.{name.rpartition('.')[2]}"
        for seed in seeds:
            data = damaged(whole, seed)
            file.write_bytes(data)
            for reader, call in image_cases(name, data, file):
                if what := wrong_end(call):
                    yield f"{name} seed {seed} {reader}: {what}"


def attack_shards(folder: Path, seeds: range) -> Iterator[str]:
    def read() -> None:
        for sample in samples(folder / "x.tar"):
            label_of(folder / "x.tar", sample)

    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        for seed in seeds:
            (folder / "x.tar").write_bytes(damaged(whole_shard(kind), seed))
            if what := wrong_end(read):
                yield f"tar of kind {kind} seed {seed}: {what}"


def attack_archives(folder: Path, seeds: range) -> Iterator[str]:
    for seed in seeds:
        (folder / "x.zip").write_bytes(damaged(whole_zip(), seed))
        if what := wrong_end(lambda: extract_zip(folder / "x.zip", folder / "run" / "data")):
            yield f"zip seed {seed}: {what}"
        shutil.rmtree(folder / "run", ignore_errors=True)


ATTACKS = {"images": attack_images, "shards": attack_shards, "archives": attack_archives}


def attack(kind: str, folder: str, count: int) -> None:
    """Print what goes wrong with so many seeds, and the memory that it took if that is much."""
    warnings.simplefilter("ignore")  # of Pillow and tifffile, about the damage
    for what in ATTACKS[kind](Path(folder), range(count)):
        sys.stdout.write(f"{what}\n")
    peak = peak_mib()  # not getrusage's, which begins with that of the parent
    if peak is not None and peak > MOST_MIB:
        sys.stdout.write(f"{peak} MiB\n")


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", ATTACKS)
def test_many_malformed_files(kind, tmp_path):
    """Attack in a process of its own: of this one, the peak of memory is of all tests before."""
    code = f"from test_fuzz_images import attack; attack({kind!r}, {str(tmp_path)!r}, {MANY})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libtiff has its own words for damage
        text=True,
        timeout=900,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ATTACKS)
def test_some_malformed_files(kind, tmp_path):
    assert not list(ATTACKS[kind](tmp_path, range(FEW)))


# What random damage found once, and what would be lost if it did not find it again.
FOUND = {
    "a TIFF without a page": ("x.tif", b"II*\0" + bytes(600)),
    "a header of an array that does not end": ("x.npy", b"\x93NUMPY\1\0\x0a\0{'descr':\n\n"),
    "an array of terabytes": (
        "x.npy",
        b"\x93NUMPY\1\0\x76\0"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }".ljust(118),
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once(what, tmp_path):
    name, data = FOUND[what]
    (tmp_path / name).write_bytes(data)
    for reader, call in image_cases(name, data, tmp_path / name):
        if reader != "measured_range":  # it leaves out arrays
            with pytest.raises(DataError):
                call()


@pytest.mark.filterwarnings("ignore")
def test_a_split_leaves_out_and_counts_what_is_malformed(tmp_path):
    data = fill(tmp_path / "d", a=6, b=6)
    for number, (name, whole) in enumerate(whole_images().items()):
        (data / "a" / f"{number:02d}-{name}").write_bytes(whole[: len(whole) // 3])
    split = plan_split(data, SplitSettings(), Silent())
    files = [file for part in (split.train, split.val, split.test) for file, _ in part]
    assert len(files) + len(split.left_out) == 12 + len(whole_images())
    assert len(split.left_out) >= len(whole_images()) - 2  # a BMP or PPM may lack its last rows


def test_one_large_picture_is_in_memory_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 0)
    held, most = [0], [0]

    def use(_: object) -> None:
        held[0] += 1
        most[0] = max(most[0], held[0])
        time.sleep(0.01)
        held[0] -= 1

    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: decoding.use_decoded(stream.getvalue(), 3, use), range(8)))
    assert most == [1]
