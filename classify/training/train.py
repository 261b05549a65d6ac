"""All trainings that make one classifier, in turn: teachers first, then the student."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from classify.evaluation.calibration import draw_reliability
from classify.evaluation.evaluate import draw_confusion, evaluate
from classify.methods.base import Teacher
from classify.methods.phases import Facts, Parts, Phase
from classify.training.criterion import LabelCriterion
from classify.training.job import Lesson, LessonImages, images_of, sets_of
from classify.training.registry import phases_of
from classify.training.sampling import Mixture
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.image_set import ImageSet
from tgn.data.runs import Run
from tgn.data.split import Part, Split, of_classes
from tgn.metrics.classification import group_accuracy
from tgn.models.backbones import TappedNet, build_backbone, load_classifier, save_classifier
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, write_json, write_text
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

CHECKPOINT, METRICS, SETTINGS = "classifier.safetensors", "metrics.json", "settings.yaml"
HELD_OUT: tuple[Part, ...] = ("val", "test")


@dataclass(frozen=True)
class Course:
    """One classifier to train, with all that its phases share."""

    split: Split
    lesson: Lesson
    settings: TrainSettings
    device: Device
    progress: Progress
    images: LessonImages  # to learn from
    held_out: dict[Part, tuple[ImageSet, ImageSet | None]]  # of our sensor, and of the other


def train_classifier(
    run: Run, lesson: Lesson, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, choose, test and write one classifier; return the content of ``metrics.json``.

    The step is chosen on the validation part of the training data if every class has images
    there; otherwise the averaged weights of the last step are taken, since a choice by some
    classes would be made at the cost of the others. Generated images only ever train. Phases
    that are done, with the same settings, are not repeated.

    Raises:
        DataError: if there are no generated images where some were asked for.
        UserError: if a teacher is missing or does not fit.
    """
    split = run.split()
    images = images_of(lesson, run, settings)
    held_out = {part: sets_of(run, settings, part) for part in HELD_OUT}
    device = Device(settings)
    course = Course(split, lesson, settings, device, progress, images, held_out)
    for phase in planned(run, lesson, settings):
        if not (phase.name and lesson.resume and _is_done(course, phase)):
            _train_phase(course, phase)
    return read_json(lesson.directory / METRICS)


def planned(run: Run, lesson: Lesson, settings: TrainSettings) -> tuple[Phase, ...]:
    """Return the phases of a lesson, in their order."""
    split = run.split()
    facts = Facts(tuple(split.counts), split.num_head, lesson.teacher, run.path / "kmdn")
    return phases_of(settings, facts)


def _is_done(course: Course, phase: Phase) -> bool:
    directory = course.lesson.directory / phase.name
    made_with = directory / SETTINGS
    same = made_with.is_file() and made_with.read_text("utf-8") == _settings_text(course, phase)
    return same and (directory / METRICS).is_file()


def _settings_text(course: Course, phase: Phase) -> str:
    return _settings_of(course, phase).explained() + "\n"


def _settings_of(course: Course, phase: Phase) -> TrainSettings:
    settings = course.settings
    changes: dict[str, Any] = {"lr": settings.lr * phase.lr}
    if phase.steps:
        changes["steps"] = max(round(settings.steps * phase.steps), 1)
    if phase.balanced:
        changes["sampling"] = "class-balanced"
    return settings.model_copy(update=changes)


def _train_phase(course: Course, phase: Phase) -> None:
    """Train, test and write the classifier of one phase."""
    settings, classes = _settings_of(course, phase), _classes(course, phase)
    images = _images(course, phase)
    validation = _validation(course, phase)
    trainer = _trainer(course, phase, settings, images, validation)
    if phase.steps:
        _run(course, phase, trainer, validation, classes)
    net = trainer.result()
    if course.device.is_main:
        rule = "last step" if validation is None else "last look within one error of the best"
        result = {
            **evaluate(net, _sensor(course, phase, "test"), course.split, course.device),
            "chosen": {"rule": rule, "step": trainer.best["step"] or settings.steps},
            "generated_images": images.num_generated,
        }
        if phase.classes:
            own = group_accuracy(torch.tensor(result["confusion"]), classes)
            result["own_classes"] = {"classes": list(classes), "accuracy": own}
        directory = course.lesson.directory / phase.name
        _write(directory, net, result, _settings_text(course, phase))
    course.device.wait()


def _trainer(
    course: Course,
    phase: Phase,
    settings: TrainSettings,
    images: LessonImages,
    validation: ImageSet | None,
) -> ClassifierTrainer:
    """Build student, teachers and method of a phase."""
    device = course.device
    torch.manual_seed(seed_of(settings.seed, "classifier init", phase.name))
    student = device.place(_student(course, phase))
    mixture = Mixture(
        images.main,
        images.mixed_in,
        settings.sampling,
        settings.generated_share,
        course.split.num_classes,
        images.paired,
    )
    parts = Parts(
        student=student,
        criterion=LabelCriterion(
            settings.loss, settings.reweighting, settings.losses, mixture.counts
        ),
        teachers=_teachers(course, phase, images.main if images.paired is None else images.paired),
        counts=mixture.counts,
        images=images.main,
        validation=validation,
        device=device,
        seed=settings.seed,
    )
    return ClassifierTrainer(phase.build(parts), mixture, settings, device)


def _run(
    course: Course,
    phase: Phase,
    trainer: ClassifierTrainer,
    validation: ImageSet | None,
    classes: Sequence[int],
) -> None:
    every = max(trainer.settings.steps // trainer.settings.looks, 1)

    def after_step(done: int) -> dict[str, float] | None:
        if validation is not None and done % every == 0:
            return trainer.remember_if_best(done, validation, classes)
        return None

    lesson = course.lesson
    job = Job(lesson.directory / phase.name, course.device, course.progress, lesson.resume)
    title = "/".join(part for part in (lesson.directory.name, phase.name) if part)
    run_steps(trainer, trainer.settings, job, title=title, after_step=after_step)


def _classes(course: Course, phase: Phase) -> tuple[int, ...]:
    return phase.classes or tuple(range(course.split.num_classes))


def _validation(course: Course, phase: Phase) -> ImageSet | None:
    """Return the validation images that choose the step; None if a class has none."""
    classes = _classes(course, phase)
    if not all(course.split.classes[k].val for k in classes):
        return None
    images = _sensor(course, phase, "val")
    return of_classes(images, classes) if phase.classes else images


def _images(course: Course, phase: Phase) -> LessonImages:
    images = course.images
    if phase.on_paired and images.paired is not None:
        images = images._replace(main=images.paired, paired=images.main)
    if phase.classes is None:
        return images
    mixed_in = None if images.mixed_in is None else of_classes(images.mixed_in, phase.classes)
    if mixed_in is not None and len(mixed_in) == 0:
        mixed_in = None
    return images._replace(main=of_classes(images.main, phase.classes), mixed_in=mixed_in)


def _sensor(course: Course, phase: Phase, part: Part) -> ImageSet:
    """Return a part's images as the student's sensor sees them."""
    own, paired = course.held_out[part]
    return paired if phase.on_paired and paired is not None else own


def _student(course: Course, phase: Phase) -> TappedNet:
    """Return the network as the phase begins with it."""
    if phase.start is not None:
        started = load_classifier(course.lesson.directory / phase.start / CHECKPOINT)
        return started.requires_grad_(True)
    settings = course.settings
    if phase.on_paired:
        pairing = settings.cross_modality
        seen = {"bands": pairing.bands, "size": pairing.size or settings.size}
        settings = settings.model_copy(update=seen)
    folders = tuple(entry.folder for entry in course.split.classes)
    cosine_scale = settings.losses.scale if settings.loss == "ldam" else 0.0
    return build_backbone(settings, folders, cosine_scale)


def _teachers(course: Course, phase: Phase, shown: ImageSet) -> dict[str, Teacher]:
    """Load what teaches in a phase.

    Raises:
        UserError: for a teacher of other classes, or of other images than it is ``shown``.
    """
    teachers, folders = {}, tuple(entry.folder for entry in course.split.classes)
    for name, where in phase.teachers.items():
        file = where if isinstance(where, Path) else course.lesson.directory / where / CHECKPOINT
        net = load_classifier(file)
        if net.facts.folders != folders:
            raise UserError(
                f"teacher {file} knows the classes {', '.join(net.facts.folders[:4])}, ... in that "
                f"order; the run has {', '.join(folders[:4])}, ...; train one on this run"
            )
        if (net.facts.size, net.facts.bands) != (shown.size, shown.bands):
            raise UserError(
                f"teacher {file} sees {net.facts.size} px and {net.facts.bands} bands, the images "
                f"it is shown have {shown.size} px and {shown.bands} bands; train one with "
                f"--set size={shown.size} --set bands={shown.bands}"
            )
        teachers[name] = Teacher(course.device.place(net))
    return teachers


def _write(directory: Path, net: TappedNet, result: dict[str, Any], settings: str) -> None:
    """Write the classifier and what it is worth; ``metrics.json`` last, as the sign of the end."""
    save_classifier(directory / CHECKPOINT, net)
    write_text(directory / SETTINGS, settings)
    draw_confusion(result, directory / "confusion.png")
    draw_reliability(result, directory / "reliability.png")
    write_json(directory / METRICS, result)
