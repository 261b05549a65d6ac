"""The generated and real images that are compared: of a run, or of two plain folders."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_folders import (
    FLAT,
    class_folders,
    folder_images,
    folder_rows,
    image_side,
)
from tgn.data.image_set import ImageSet
from tgn.data.manifest import ManifestRow, image_set, padded_rows
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.runtime.errors import UserError


@dataclass(frozen=True)
class ComparedSets:
    """The generated and the real images of one comparison.

    Attributes:
        generated: the generated images, labelled by the position in ``class_folders``.
        training: the real training images of all classes, of the same size and with labels of the
            same order.
        real_rows: which of them the generated images are compared with, int64 [M].
        held_out: real images of the compared classes that no generator has seen; None where there
            are none.
        class_folders: folder of each class; one "" where the sets are compared as a whole.
        class_names: the same for people and prompts.
        folder: where the generated images lie.
        root: files in the result are written relative to this folder.
        reference: which real images, in the result.
        origins: real images that each generated one was made of, as the split names them: its
            source first, "" where that is not known, then others whose parts are in it.
        made_from: the same as rows of ``training``, int64 [N, K]; -1 where that is not known, and
            where there are fewer than K.
        left_out: classes without a comparison -> why.
    """

    generated: ImageSet
    training: ImageSet
    real_rows: Tensor
    held_out: ImageSet | None
    class_folders: Sequence[str]
    class_names: Sequence[str]
    folder: Path
    root: Path
    reference: str
    origins: Sequence[tuple[str, ...]]
    made_from: Tensor
    left_out: Mapping[str, str]

    @cached_property
    def real(self) -> ImageSet:
        """The real training images that generated ones are compared with."""
        return self.training.subset(self.real_rows)

    @property
    def source_rows(self) -> Tensor:
        """Row of each image's source in ``training``, int64 [N]; -1 where that is not known."""
        return self.made_from[:, 0]

    @property
    def leaves_some_real(self) -> Tensor:
        """Whether a class has training images that an image of it was not made of, bool [N].

        Without any, no fit that has not seen the image can know the class.
        """
        labels, own = self.training.labels, self.generated.labels
        counts = torch.bincount(labels, minlength=len(self.class_folders))
        is_of_class = (self.made_from >= 0) & (labels[self.made_from] == own[:, None])
        return is_of_class.sum(1) < counts[own]

    @property
    def labels(self) -> list[int]:
        """Labels of the classes that have generated images, ascending."""
        return [int(k) for k in torch.unique(self.generated.labels)]

    @property
    def has_classes(self) -> bool:
        """Whether images are compared class by class."""
        return tuple(self.class_folders) != (FLAT,)

    @property
    def has_several_classes(self) -> bool:
        """Whether the training images are of two or more classes: a classifier can be fitted."""
        return self.has_classes and len(self.training.labels.unique()) > 1

    def relative(self, path: Path) -> str:
        """Return a file as it is written in the result."""
        return Path(os.path.relpath(path.resolve(), self.root.resolve())).as_posix()


@dataclass(frozen=True)
class Rows:
    """Rows of the generated and of the real set, int64."""

    generated: Tensor
    real: Tensor


@dataclass(frozen=True)
class FeatureTables:
    """Features of whole sets.

    Attributes:
        generated: [N, D].
        real: of the compared training images, [M, D].
        training: of all training images, [T, D]; None of networks that compare only.
        held_out: [H, D]; None where there are none.
    """

    generated: Tensor
    real: Tensor
    training: Tensor | None = None
    held_out: Tensor | None = None

    def at(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return the features of some rows: generated, real."""
        return self.generated[rows.generated], self.real[rows.real]


def load_sets(
    run: Run, folder: Path, rows: Sequence[ManifestRow], bands: int, size: int | None = None
) -> ComparedSets:
    """Return the images of manifest rows and the run's real training images.

    They are compared with the real images of the tail, and of those head classes that they are of.

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
    size = size or image_side(folder / rows[0].file)
    generated = image_set(folder, rows, split, size, bands)
    training = split.image_set("train", run.path, size, bands)
    real_rows = _rows_of(training, {*split.tail_classes, *generated.labels.tolist()})
    if len(real_rows) == 0:
        raise UserError("no real training images to compare with; check the split")
    held_out = split.image_set("test", run.path, size, bands)
    row_of = {file: row for row, (file, _) in enumerate(split.train)}
    origins = [row.origins for row in rows]
    return ComparedSets(
        generated=generated,
        training=training,
        real_rows=real_rows,
        held_out=_with_labels(held_out, generated.labels),
        class_folders=[entry.folder for entry in split.classes],
        class_names=split.names,
        folder=folder,
        root=run.path,
        reference="train",
        origins=origins,
        made_from=padded_rows([[row_of.get(file, -1) for file in own] for own in origins]),
        left_out=_tail_without_images(split, generated),
    )


def load_folder_sets(
    folder: Path, rows: Sequence[ManifestRow], real: Path, bands: int, size: int | None = None
) -> ComparedSets:
    """Return the images of two plain folders, matched by the names of their class folders.

    Where either folder has no class folders, both are compared as a whole.

    Args:
        folder: of the generated images.
        rows: which of them.
        real: folder of the real images.
        bands: 3 or 1.
        size: side at which both are read; None is the first generated image's.

    Raises:
        UserError: if a folder has no images, or no class folder is in both.
    """
    real_rows = folder_rows(real)
    ours, theirs = class_folders(rows), class_folders(real_rows)
    if FLAT in ours + theirs:
        classes = [FLAT]
    else:
        classes = _common_classes(folder, ours, real, theirs)
        rows = [row for row in rows if row.folder in classes]
        real_rows = [row for row in real_rows if row.folder in classes]
    size = size or image_side(folder / rows[0].file)
    training = folder_images(real, real_rows, classes, size, bands)
    return ComparedSets(
        generated=folder_images(folder, rows, classes, size, bands),
        training=training,
        real_rows=torch.arange(len(training)),
        held_out=None,
        class_folders=classes,
        class_names=[name.replace("_", " ") for name in classes],
        folder=folder,
        root=folder.resolve().parent,
        reference=Path(os.path.relpath(real.resolve(), folder.resolve().parent)).as_posix(),
        origins=[row.origins for row in rows],
        made_from=torch.full((len(rows), 1), -1),
        left_out=_unmatched(folder, ours, real, theirs) if classes != [FLAT] else {},
    )


def _rows_of(images: ImageSet, classes: Collection[int]) -> Tensor:
    return torch.isin(images.labels, torch.tensor(list(classes))).nonzero().flatten()


def _with_labels(images: ImageSet, labels: Tensor) -> ImageSet | None:
    """Return the images of classes that occur in ``labels``; None if there are none."""
    rows = torch.isin(images.labels, labels).nonzero().flatten()
    return images.subset(rows) if len(rows) else None


def _common_classes(folder: Path, ours: list[str], real: Path, theirs: list[str]) -> list[str]:
    common = sorted({*ours} & {*theirs})
    if not common:
        raise UserError(
            f"no class folder is in both: {folder} has {_some(ours)}; {real} has {_some(theirs)}; "
            "give them the same names, or put all images directly into one of the folders"
        )
    return common


def _unmatched(folder: Path, ours: list[str], real: Path, theirs: list[str]) -> dict[str, str]:
    lacking = {name: real for name in ours if name not in theirs}
    lacking |= {name: folder for name in theirs if name not in ours}
    return {f"class {name}": f"{lacks} has no such class folder" for name, lacks in lacking.items()}


def _tail_without_images(split: Split, generated: ImageSet) -> dict[str, str]:
    missing = sorted({*split.tail_classes} - {*generated.labels.tolist()})
    folders = [split.classes[label].folder for label in missing]
    return {f"class {f}": f"no generated images; tgn generate --class {f}" for f in folders}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
