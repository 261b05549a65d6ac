"""Which images one classifier learns from, and where it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from classify.recipes import Images
from classify.settings import TrainSettings
from tgn.core.data import ImageSet
from tgn.core.errors import DataError
from tgn.core.manifest import image_set, rows_in_use
from tgn.core.runs import Run
from tgn.core.split import of_classes


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
    """

    directory: Path
    augmented: Path | None = None
    resume: bool = True
    left_out: frozenset[str] = frozenset()
    images: Images = "all"


class LessonImages(NamedTuple):
    """What a lesson's batches are drawn from."""

    main: ImageSet  # drawn from in every step
    mixed_in: ImageSet | None  # generated images beside them
    num_generated: int  # in both


def images_of(lesson: Lesson, run: Run, settings: TrainSettings) -> LessonImages:
    """Return the images of a lesson.

    Raises:
        DataError: if there are no generated images where some were asked for.
    """
    split, (size, bands) = run.split(), (settings.size, settings.bands)
    real = split.image_set("train", run.path, size, bands)
    kept = [row for row, (file, _) in enumerate(split.train) if file not in lesson.left_out]
    real = real.subset(torch.tensor(kept, dtype=torch.int64))
    if lesson.images == "real-tail":
        return LessonImages(of_classes(real, split.tail_classes), None, 0)
    if lesson.augmented is None:
        return LessonImages(real, None, 0)
    rows = rows_in_use(lesson.augmented, split)
    generated = image_set(lesson.augmented, rows, split, size, bands)
    if len(generated) == 0:
        raise DataError("no generated images; make them with: tgn generate --class all")
    if lesson.images == "generated-tail":
        generated = of_classes(generated, split.tail_classes)
        return LessonImages(generated, None, len(generated))
    return LessonImages(real, generated, len(generated))
