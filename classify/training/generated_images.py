"""The generated images that a classifier is trained on."""

from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.manifest import active_rows, image_set
from tgn.data.split import Split, filling_up
from tgn.runtime.errors import DataError


def generated_images(
    folder: Path, split: Split, real: ImageSet, ratio: float | None = None
) -> ImageSet:
    """Return the generated images of a folder, read as the real ones are.

    Args:
        folder: with its manifest.
        split: of the run.
        real: training images; they say size and bands, and what a class lacks.
        ratio: how many are used, see :func:`rows_within_ratio`; None takes all.

    Raises:
        DataError: if there are none.
    """
    generated = image_set(folder, active_rows(folder, split), split, real.size, real.bands)
    if ratio is not None:
        generated = generated.subset(
            rows_within_ratio(ratio, generated.labels, real.labels, split.num_head)
        )
    if len(generated) == 0:
        raise DataError("no generated images; make them with: tgn generate --class all")
    return generated


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
