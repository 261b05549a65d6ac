"""The range of a set of images, measured once on a sample of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgn.data.decoding import Decoded, use_decoded
from tgn.data.images import ARRAY
from tgn.data.sample_range import SampleRange
from tgn.data.samples import Samples
from tgn.data.shards import read_file
from tgn.runtime.errors import DataError

IMAGES = 500
SAMPLES_OF_BAND = 2048  # of an image
PERCENTILES = (0.5, 99.5)
MEASURED = "{}th to {}th percentile of up to {} images".format(*PERCENTILES, IMAGES)


def spread(files: Sequence[Path]) -> Sequence[Path]:
    """Return at most 500 of the files, at equal steps."""
    return files[:: max(len(files) // IMAGES, 1)][:IMAGES]


def measured_range(files: Sequence[Path]) -> SampleRange | None:
    """Return the range of the 16-bit and float images among files; None if there are none.

    It is from the 0.5th to the 99.5th percentile of samples that are no "no data", of up to 500
    images that are spread over the list. Grey and colour images get one range, so that colours
    stay as they are; images of other numbers of bands one a band, as bands may have other units.

    Raises:
        DataError: if no sample of them is a number of the scene.
    """
    drawn = list(_drawn(files))
    if not drawn:
        return None
    bands = {table.shape[1] for table in drawn}
    if len(bands) > 1 or bands <= {1, 3}:
        drawn = [table.reshape(-1, 1) for table in drawn]
    return tuple(_percentiles(band) for band in np.concatenate(drawn).T)


def _drawn(files: Sequence[Path]) -> Iterable[NDArray[np.float32]]:
    """Yield samples [n, bands] of 16-bit and float images; NaN where there is no data."""
    left = IMAGES
    for file in _in_steps(files):
        samples = _samples_of(file)
        if samples is not None and left:
            left -= 1
            yield samples
        if not left:
            return


def _in_steps(files: Sequence[Path]) -> Iterable[Path]:
    """Yield every file, those at IMAGES equal steps first."""
    step = max(len(files) // IMAGES, 1)
    for start in range(step):
        for row in range(start, len(files), step):
            yield files[row]


def _samples_of(file: Path) -> NDArray[np.float32] | None:
    if file.suffix.lower() == ARRAY:
        return None
    try:
        return use_decoded(read_file(file), 3, _thinned)
    except (DataError, OSError) as error:
        raise DataError(f"{file}: {error}; remove or replace the file") from None


def _thinned(found: Decoded) -> NDArray[np.float32] | None:
    if not isinstance(found.content, Samples) or found.content.values.dtype == np.uint8:
        return None
    samples = found.content.without_alpha()
    bands = samples.values.shape[2]
    step = max(samples.values.shape[0] * samples.values.shape[1] // SAMPLES_OF_BAND, 1) | 1
    thinned = samples._replace(values=samples.values.reshape(-1, bands)[::step])
    return np.where(thinned.valid, thinned.values, np.nan).astype(np.float32)


def _percentiles(values: NDArray[Any]) -> tuple[float, float]:
    known = values[~np.isnan(values)].astype(np.float64)
    if not known.size:
        raise DataError("no sample of the images measured is a number: all are NaN or no data")
    low, high = (float(f"{value:.6g}") for value in np.percentile(known, PERCENTILES))
    return (low, high) if low < high else (low, low + 1.0)
