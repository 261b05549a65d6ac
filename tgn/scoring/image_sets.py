"""The generated and the real images that are compared, and their rows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.images import read_image
from tgn.data.manifest import ManifestRow, image_set
from tgn.data.runs import Run
from tgn.data.split import Split, of_classes
from tgn.runtime.errors import UserError


@dataclass(frozen=True)
class ScoreSets:
    """What is compared.

    Attributes:
        generated: the generated images, labelled in the split's class order.
        real: the real training images, of the same size and in the same order.
        split: the class order.
        folder: where the generated images lie.
        root: files in the result are written relative to this folder, the run's.
        sources: the real image each generated one was drawn from, as the split names it.
    """

    generated: ImageSet
    real: ImageSet
    split: Split
    folder: Path
    root: Path
    sources: Sequence[str]

    @property
    def classes(self) -> list[int]:
        """Classes that have generated images, in the split's order."""
        return [int(k) for k in torch.unique(self.generated.labels)]

    def relative(self, path: Path) -> str:
        """A file as it is written in the result."""
        return Path(os.path.relpath(path.resolve(), self.root.resolve())).as_posix()


@dataclass(frozen=True)
class Rows:
    """Rows of the generated and of the real set, int64."""

    generated: Tensor
    real: Tensor


@dataclass(frozen=True)
class FeatureTables:
    """Features of the whole generated and real sets, [N, D] and [M, D]."""

    generated: Tensor
    real: Tensor

    def at(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Features of some rows: generated, real."""
        return self.generated[rows.generated], self.real[rows.real]


def load_sets(
    run: Run, folder: Path, rows: Sequence[ManifestRow], bands: int, size: int | None = None
) -> ScoreSets:
    """Return the images of manifest rows beside the run's real training images of the tail.

    Args:
        run: the run.
        folder: of the generated images.
        rows: which of them.
        bands: 3 or 1.
        size: side at which both are read; None is the first generated image's.

    Raises:
        UserError: without rows or real images.
    """
    if not rows:
        raise UserError(f"no images are kept in {folder}; make some: tgn generate --class all")
    split = run.split()
    size = size or max(read_image(folder / rows[0].file)[0].size)
    sets = ScoreSets(
        generated=image_set(folder, rows, split, size, bands),
        real=of_classes(split.image_set("train", run.path, size, bands), split.tail_classes),
        split=split,
        folder=folder,
        root=run.path,
        sources=[row.source_file for row in rows],
    )
    if len(sets.real) == 0:
        raise UserError("no real training images to compare with; check the split")
    return sets
