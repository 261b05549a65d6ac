"""Which images one classifier learns from, and where it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from classify.training.paired_images import paired_set
from classify.training.recipes import Images
from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet
from tgn.data.manifest import image_set, rows_in_use
from tgn.data.runs import Run
from tgn.data.split import Part, of_classes
from tgn.runtime.errors import DataError, UserError


@dataclass(frozen=True)
class Lesson:
    """One classifier to train.

    Attributes:
        directory: of its checkpoint and measures.
        augmented: folder of generated images, if any.
        resume: continue where a kill left it.
        left_out: training files, as the split names them, that it must not see.
        images: all of them, or for the classification accuracy score (Ravuri and Vinyals 2019,
            arXiv 1905.10887) only those of tail classes: either the real or the generated ones.
        teacher: file of the classifier that teaches, if the user named one.
    """

    directory: Path
    augmented: Path | None = None
    resume: bool = True
    left_out: frozenset[str] = frozenset()
    images: Images = "all"
    teacher: Path | None = None


class LessonImages(NamedTuple):
    """What a lesson's batches are drawn from."""

    main: ImageSet  # drawn from in every step
    mixed_in: ImageSet | None  # generated images beside them
    num_generated: int  # in both
    paired: ImageSet | None = None  # the rows of main as the other sensor sees them


def images_of(lesson: Lesson, run: Run, settings: TrainSettings) -> LessonImages:
    """Return the images of a lesson.

    Raises:
        DataError: if there are no generated images where some were asked for, or an image lacks
            its pair.
    """
    split, (size, bands) = run.split(), (settings.size, settings.bands)
    real, paired = sets_of(run, settings, "train")
    kept = [row for row, (file, _) in enumerate(split.train) if file not in lesson.left_out]
    rows = torch.tensor(kept, dtype=torch.int64)
    real = real.subset(rows)
    if paired is not None:
        if lesson.augmented is not None:
            raise UserError(
                "--method cross-modality got --augmented; generated images have no pair"
            )
        return LessonImages(real, None, 0, paired.subset(rows))
    if lesson.images == "real-tail":
        return LessonImages(of_classes(real, split.tail_classes), None, 0)
    if lesson.augmented is None:
        return LessonImages(real, None, 0)
    made = rows_in_use(lesson.augmented, split)
    generated = image_set(lesson.augmented, made, split, size, bands)
    if settings.ratio is not None:
        generated = generated.subset(rows_up_to(settings.ratio, generated.labels, real.labels))
    if len(generated) == 0:
        raise DataError("no generated images; make them with: tgn generate --class all")
    if lesson.images == "generated-tail":
        generated = of_classes(generated, split.tail_classes)
        return LessonImages(generated, None, len(generated))
    return LessonImages(real, generated, len(generated))


def sets_of(run: Run, settings: TrainSettings, part: Part) -> tuple[ImageSet, ImageSet | None]:
    """Return a part's images and, for cross-modality, the same as the other sensor sees them."""
    split = run.split()
    own = split.image_set(part, run.path, settings.size, settings.bands)
    pairing = settings.cross_modality
    if settings.method != "cross-modality" or pairing.paired is None:
        return own, None
    size = pairing.size or settings.size
    return own, paired_set(split, part, run.path, Path(pairing.paired), size, pairing.bands)


def rows_up_to(ratio: float, generated: Tensor, real: Tensor) -> Tensor:
    """Return the first generated rows of each class, ``ratio`` times what it lacks to the largest.

    Args:
        ratio: > 0; 1 fills every class up.
        generated: labels of the generated images.
        real: labels of the real ones.
    """
    classes = int(torch.cat((generated, real)).max()) + 1
    counts = torch.bincount(real, minlength=classes)
    allowed = (ratio * (counts.max() - counts)).round().long()
    order = generated.argsort(stable=True)
    starts = torch.bincount(generated, minlength=classes).cumsum(0).roll(1)
    starts[0] = 0
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - starts[generated[order]]
    return (place < allowed[generated]).nonzero().flatten()
