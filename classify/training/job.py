"""A training job: which images a classifier learns from, and where it is written."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from classify.methods.phases import Phase
from classify.training.generated_images import GeneratedSet, generated_set
from classify.training.paired_images import paired_set
from classify.training.recipes import TrainingImages
from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet, select_classes
from tgn.data.made_from import SPLIT, split_sha256
from tgn.data.manifest import fingerprint
from tgn.data.runs import Run
from tgn.data.split import Part
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of

# Trainings of older versions, which used generated images otherwise, are not gone on with.
USE_OF_GENERATED = "prior, counts and last part are of real images; a probe gives them a share by n"


@dataclass(frozen=True)
class TrainingJob:
    """One classifier to train.

    Attributes:
        directory: folder of its checkpoint and metrics.
        augmented: folder of generated images, or None.
        resume: continue an interrupted training.
        left_out: training files, named as in the split, that are not trained on.
        images: all of them, or for the classification accuracy score (Ravuri and Vinyals 2019,
            arXiv 1905.10887) only those of tail classes: either the real or the generated ones.
        teacher: file of the teacher that the user named, or None.
    """

    directory: Path
    augmented: Path | None = None
    resume: bool = True
    left_out: frozenset[str] = frozenset()
    images: TrainingImages = "all"
    teacher: Path | None = None


def made_from(job: TrainingJob, run: Run, phases: Sequence[Phase]) -> dict[str, str]:
    """Return digests of what a job learns from beside its settings.

    Args:
        job: of the training.
        run: of the job.
        phases: of the job; teachers that it trains itself are no source.

    Returns:
        the ``split``, ``generated`` images and how a network is trained with them, each
        ``teacher``, files ``left_out``; only what there is.
    """
    found = {SPLIT: split_sha256(run.split())}
    if job.augmented is not None:
        found["generated"] = fingerprint(job.augmented, run.split())
        if phases:
            found["use_of_generated"] = USE_OF_GENERATED
    for name, teacher in {k: v for one in phases for k, v in one.teachers.items()}.items():
        if isinstance(teacher, Path):
            found[name if name == "teacher" else f"{name} teacher"] = sha256_of(teacher)
    if job.left_out:
        found["left_out"] = hashlib.sha256("\n".join(sorted(job.left_out)).encode()).hexdigest()
    return found


class JobImages(NamedTuple):
    """The training images of a job."""

    main: ImageSet  # part of every batch
    mixed_in: GeneratedSet | None  # generated images beside them
    num_generated: int  # in both
    paired: ImageSet | None = None  # the rows of ``main`` from the other sensor
    part_of: tuple[ImageSet, Tensor] | None = None  # if files are left out: all images, rows kept


def images_of(job: TrainingJob, run: Run, settings: TrainSettings) -> JobImages:
    """Return the training images of a job.

    Raises:
        DataError: if there are no generated images where some were asked for, or an image has no
            pair.
        UserError: for paired images together with generated ones.
    """
    split = run.split()
    real, paired = sensor_images(run, settings, "train")
    kept = [row for row, (file, _) in enumerate(split.train) if file not in job.left_out]
    rows = torch.tensor(kept, dtype=torch.int64)
    part_of = (real, rows) if job.left_out else None
    real = real.subset(rows)
    if paired is not None:
        if job.augmented is not None:
            raise UserError(
                "--method cross-modality got --augmented; generated images have no pair"
            )
        return JobImages(real, None, 0, paired.subset(rows))
    if job.images == "real-tail":
        return JobImages(select_classes(real, split.tail_classes), None, 0)
    if job.augmented is None:
        return JobImages(real, None, 0, part_of=part_of)
    generated = generated_set(job.augmented, split, real, settings.generated_ratio)
    if job.images == "generated-tail":
        tail = generated.of_classes(split.tail_classes).images
        return JobImages(tail, None, len(tail))
    return JobImages(real, generated, len(generated.images))


def sensor_images(
    run: Run, settings: TrainSettings, part: Part
) -> tuple[ImageSet, ImageSet | None]:
    """Return a part's images and, for cross-modality, those of the other sensor, row by row."""
    split = run.split()
    own = split.image_set(part, run.path, settings.size, settings.bands)
    pairing = settings.cross_modality
    if settings.method != "cross-modality" or pairing.paired is None:
        return own, None
    size = pairing.size or settings.size
    return own, paired_set(split, part, run.path, Path(pairing.paired), size, pairing.bands)
