"""The generated images that a classifier is trained on."""

import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.manifest import ManifestRow, active_rows, image_set, padded_rows
from tgn.data.split import Split, filling_up
from tgn.runtime.errors import DataError

NONE_MADE = "no generated images; make them with: tgn generate --class all"


class GeneratedSet(NamedTuple):
    """Generated images with what their manifest says of each."""

    images: ImageSet  # N of them
    noise: Tensor  # ratio r in [0, 1]; NaN where it is not known, float64 [N]
    # Rows in the run's training part of the images that each was made of, its source first; -1: not
    # known, or fewer than K, int64 [N, K].
    made_from: Tensor

    def subset(self, rows: Tensor) -> "GeneratedSet":
        """Return the images of the rows [n]."""
        return GeneratedSet(self.images.subset(rows), self.noise[rows], self.made_from[rows])

    def of_classes(self, classes: Sequence[int]) -> "GeneratedSet":
        """Return the images of some classes; the labels are kept as they are."""
        kept = torch.isin(self.images.labels, torch.tensor(list(classes)))
        return self.subset(kept.nonzero().flatten())


def generated_images(
    folder: Path, split: Split, real: ImageSet, ratio: float | None = None
) -> ImageSet:
    """Return the images of :func:`generated_set` alone."""
    return generated_set(folder, split, real, ratio).images


def generated_set(
    folder: Path, split: Split, real: ImageSet, ratio: float | None = None
) -> GeneratedSet:
    """Return the generated images of a folder, read as the real ones are.

    Args:
        folder: with its manifest.
        split: of the run.
        real: training images; they say size and bands, and what a class lacks.
        ratio: how many are used, see :func:`rows_within_ratio`; None takes all.

    Raises:
        DataError: if there are none.
    """
    row_of = {file: row for row, (file, _) in enumerate(split.train)}
    noise, made_from = array("d"), list[list[int]]()

    def noted() -> Iterator[ManifestRow]:
        for row in active_rows(folder, split):
            noise.append(math.nan if row.noise is None else row.noise)
            made_from.append([row_of.get(file, -1) for file in row.origins])
            yield row

    images = image_set(folder, noted(), split, real.size, real.bands)
    if not made_from:
        raise DataError(NONE_MADE)
    ratios = torch.tensor(noise, dtype=torch.float64)
    found = GeneratedSet(images, ratios, padded_rows(made_from))
    if ratio is not None:
        found = found.subset(rows_within_ratio(ratio, images.labels, real.labels, split.num_head))
    if len(found.images) == 0:
        raise DataError(NONE_MADE)
    return found


def rows_within_ratio(ratio: float, generated: Tensor, real: Tensor, num_head: int = 0) -> Tensor:
    """Return the first generated rows of each class: ``ratio`` times what `filling_up` gives it.

    Args:
        ratio: > 0; 1 fills every tail class up to the largest real one.
        generated: labels of the generated images, [N].
        real: labels of the real ones, [M].
        num_head: number of head classes, the first in class order.

    Returns:
        Row numbers, ascending.
    """
    classes = int(torch.cat((generated, real)).max()) + 1
    counts = torch.bincount(real, minlength=classes)
    allowed = (ratio * torch.tensor(filling_up(counts.tolist(), num_head))).round().long()
    order = generated.argsort(stable=True)
    starts = torch.bincount(generated, minlength=classes).cumsum(0).roll(1)
    starts[0] = 0
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - starts[generated[order]]
    return (place < allowed[generated]).nonzero().flatten()
