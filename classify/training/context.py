"""What the phases of a training job share, and what each of them takes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classify.methods.phases import Phase
from classify.training.job import JobImages, TrainingJob
from classify.training.settings import TrainSettings
from tgn.data.image_set import ImageSet, select_classes
from tgn.data.split import Part, Split
from tgn.runtime.devices import Device
from tgn.runtime.progress import Progress


@dataclass(frozen=True)
class TrainingContext:
    """A training job with all that its phases share."""

    split: Split
    job: TrainingJob
    settings: TrainSettings  # as they were given
    device: Device
    progress: Progress
    images: JobImages  # the training images
    held_out: dict[Part, tuple[ImageSet, ImageSet | None]]  # of our sensor, and of the other
    features: Path  # folder of cached features, for start=probe
    made_from: dict[str, str]  # digests of what else it learns from

    @property
    def folders(self) -> tuple[str, ...]:
        """Folder names of the classes, in the order of the labels."""
        return tuple(entry.folder for entry in self.split.classes)

    def directory(self, phase: Phase) -> Path:
        """Return the folder of a phase."""
        return self.job.directory / phase.name

    def settings_of(self, phase: Phase) -> TrainSettings:
        """Return the settings of a phase, resolved."""
        mixed_in = self.images.mixed_in
        num_images = len(self.images.main) + (0 if mixed_in is None else len(mixed_in.images))
        return phase_settings(self.settings, phase, num_images)

    def classes_of(self, phase: Phase) -> tuple[int, ...]:
        """Return the labels that a phase learns."""
        return phase.classes or tuple(range(self.split.num_classes))

    def images_of(self, phase: Phase) -> JobImages:
        """Return the training images of a phase: of its sensor and its classes."""
        images = self.images
        if phase.on_paired and images.paired is not None:
            images = images._replace(main=images.paired, paired=images.main)
        if phase.real_only:
            images = images._replace(mixed_in=None)
        if phase.classes is None:
            return images
        mixed_in = images.mixed_in
        if mixed_in is not None:
            mixed_in = mixed_in.of_classes(phase.classes)
            mixed_in = mixed_in if len(mixed_in.images) else None
        main = select_classes(images.main, phase.classes)
        return images._replace(main=main, mixed_in=mixed_in, part_of=None)

    def validation_of(self, phase: Phase) -> ImageSet | None:
        """Return the validation images that choose the step; None if a class has none."""
        if not all(self.split.classes[k].val for k in self.classes_of(phase)):
            return None
        images = self.held_out_of(phase, "val")
        return select_classes(images, phase.classes) if phase.classes else images

    def held_out_of(self, phase: Phase, part: Part) -> ImageSet:
        """Return a part's images of the student's sensor."""
        own, paired = self.held_out[part]
        return paired if phase.on_paired and paired is not None else own


def phase_settings(
    settings: TrainSettings, phase: Phase, num_images: int | None = None
) -> TrainSettings:
    """Return the settings of a phase: those of the job, with what the phase changes.

    Args:
        settings: of the job, as they were given.
        phase: one of the job's.
        num_images: of the whole job, of which an epoch is made.
    """
    settings = settings.resolved(num_images, phase.has_new_head)
    assert settings.lr is not None
    changes: dict[str, Any] = {"lr": settings.lr * phase.lr}
    if phase.steps:
        changes["steps"] = max(round(settings.steps * phase.steps), 1)
    if phase.weight_decay is not None:
        changes["weight_decay"] = phase.weight_decay
    if phase.label_smoothing is not None:
        changes["label_smoothing"] = phase.label_smoothing
    if phase.balanced:
        changes["sampling"] = "class-balanced"
    return settings.model_copy(update=changes)
