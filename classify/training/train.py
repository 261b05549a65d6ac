"""A training job from images to files: its phases in turn, teachers first, then the student."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from classify.evaluation.evaluate import evaluate
from classify.methods.base import Teacher
from classify.methods.class_means import start_at_class_means
from classify.methods.phases import MethodInputs, Phase, RunFacts
from classify.training.criterion import label_criterion
from classify.training.job import JobImages, TrainingJob, images_of, sensor_images
from classify.training.layout import (
    CHECKPOINT,
    METRICS,
    SETTINGS,
)
from classify.training.method_phases import phases_of
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings, recorded_settings
from classify.training.trainer import ClassifierTrainer
from classify.training.written import write_trained
from tgn.data.image_set import ImageSet, select_classes
from tgn.data.runs import Run
from tgn.data.split import Part, Split
from tgn.metrics.classification import group_accuracy
from tgn.models.backbones import TappedNet, build_backbone, load_classifier
from tgn.models.feature_cache import FeatureCache
from tgn.probe.classifier import probed_network
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

ADAPTED_SCALE = 25.0  # of the cosine classifier beside adapters, as LIFT releases it
HELD_OUT: tuple[Part, ...] = ("val", "test")
WITHOUT_VALIDATION = "last step"
BY_VALIDATION = "last validation within one standard error of the best"


@dataclass(frozen=True)
class TrainingContext:
    """A training job with all that its phases share."""

    split: Split
    job: TrainingJob
    settings: TrainSettings
    device: Device
    progress: Progress
    images: JobImages  # the training images
    held_out: dict[Part, tuple[ImageSet, ImageSet | None]]  # of our sensor, and of the other
    features: Path  # folder of cached features, for start=probe


def train_classifier(
    run: Run, job: TrainingJob, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, choose, test and write one classifier; return the content of ``metrics.json``.

    The step is chosen on the validation part if every class has images there; otherwise the
    averaged weights of the last step are taken, since a choice by some classes would be made at
    the cost of the others. Generated images are only trained on, never tested on. Finished phases
    with the same settings are not repeated.

    Raises:
        DataError: if there are no generated images where some were asked for.
        UserError: if a teacher is missing or does not fit.
    """
    images = images_of(job, run, settings)
    held_out = {part: sensor_images(run, settings, part) for part in HELD_OUT}
    device = Device(settings)
    split, features = run.split(), run.feature_cache
    context = TrainingContext(split, job, settings, device, progress, images, held_out, features)
    for phase in planned_phases(run, job, settings):
        if not (phase.name and job.resume and _is_done(context, phase)):
            _train_phase(context, phase)
    return read_json(job.directory / METRICS)


def planned_phases(run: Run, job: TrainingJob, settings: TrainSettings) -> tuple[Phase, ...]:
    """Return the phases of a job, in their order.

    Raises:
        UserError: if the method lacks a teacher or a folder.
    """
    split = run.split()
    facts = RunFacts(tuple(split.counts), split.num_head, job.teacher, run.kmdn)
    return phases_of(settings, facts)


def _is_done(context: TrainingContext, phase: Phase) -> bool:
    directory = context.job.directory / phase.name
    same = recorded_settings(directory / SETTINGS) == _settings(context, phase)
    return same and (directory / METRICS).is_file()


def _settings(context: TrainingContext, phase: Phase) -> TrainSettings:
    images = context.images
    num_images = len(images.main) + len(images.mixed_in or ())
    return phase_settings(context.settings, phase, num_images)


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
    if phase.balanced:
        changes["sampling"] = "class-balanced"
    return settings.model_copy(update=changes)


def _train_phase(context: TrainingContext, phase: Phase) -> None:
    """Train, test and write the classifier of one phase."""
    settings, classes = _settings(context, phase), _classes(context, phase)
    images = _images(context, phase)
    validation = _validation(context, phase)
    trainer = _trainer(context, phase, settings, images, validation)
    if phase.steps:
        _run(context, phase, trainer, validation, classes)
    net = trainer.result()
    if context.device.is_main:
        rule = WITHOUT_VALIDATION if validation is None else BY_VALIDATION
        test = _sensor(context, phase, "test")
        result = {
            **evaluate(net, test, context.split, context.device),
            "chosen": {"rule": rule, "step": trainer.best["step"] or settings.steps},
            "generated_images": images.num_generated,
        }
        if phase.classes:
            own = group_accuracy(torch.tensor(result["confusion"]), classes)
            result["own_classes"] = {"classes": list(classes), "accuracy": own}
        if phase.control:
            control = read_json(context.job.directory / phase.control / METRICS)
            result["control"] = {group: control[group] for group in ("balanced", "head", "tail")}
        write_trained(context.job.directory / phase.name, net, result, settings)
    context.device.wait()


def _trainer(
    context: TrainingContext,
    phase: Phase,
    settings: TrainSettings,
    images: JobImages,
    validation: ImageSet | None,
) -> ClassifierTrainer:
    """Build student, teachers and method of a phase."""
    device = context.device
    torch.manual_seed(seed_of(settings.seed, "classifier init", phase.name))
    student = device.place(_student(context, phase, images))
    if settings.tuning == "adapters" and phase.start is None:
        start_at_class_means(student, images.main, device)
    sampler = MixtureSampler(
        images.main,
        images.mixed_in,
        settings.sampling,
        settings.generated_share,
        context.split.num_classes,
        images.paired,
    )
    teacher_images = images.main if images.paired is None else images.paired
    inputs = MethodInputs(
        student=student,
        criterion=label_criterion(settings, sampler.counts, sampler.real_rows.counts),
        teachers=_teachers(context, phase, teacher_images),
        counts=sampler.counts,
        images=images.main,
        validation=validation,
        device=device,
        seed=settings.seed,
    )
    return ClassifierTrainer(phase.build(inputs), sampler, settings, device)


def _run(
    context: TrainingContext,
    phase: Phase,
    trainer: ClassifierTrainer,
    validation: ImageSet | None,
    classes: Sequence[int],
) -> None:
    every = max(trainer.settings.steps // trainer.settings.num_validations, 1)

    def after_step(done: int) -> dict[str, float] | None:
        if validation is not None and done % every == 0:
            return trainer.validate(done, validation, classes)
        return None

    job = context.job
    loop_job = Job(job.directory / phase.name, context.device, context.progress, job.resume)
    title = "/".join(part for part in (job.directory.name, phase.name) if part)
    run_steps(trainer, trainer.settings, loop_job, title=title, after_step=after_step)


def _classes(context: TrainingContext, phase: Phase) -> tuple[int, ...]:
    return phase.classes or tuple(range(context.split.num_classes))


def _validation(context: TrainingContext, phase: Phase) -> ImageSet | None:
    """Return the validation images that choose the step; None if a class has none."""
    classes = _classes(context, phase)
    if not all(context.split.classes[k].val for k in classes):
        return None
    images = _sensor(context, phase, "val")
    return select_classes(images, classes) if phase.classes else images


def _images(context: TrainingContext, phase: Phase) -> JobImages:
    """Return the training images of a phase: of its sensor and its classes."""
    images = context.images
    if phase.on_paired and images.paired is not None:
        images = images._replace(main=images.paired, paired=images.main)
    if phase.classes is None:
        return images
    mixed_in = None if images.mixed_in is None else select_classes(images.mixed_in, phase.classes)
    if mixed_in is not None and len(mixed_in) == 0:
        mixed_in = None
    return images._replace(main=select_classes(images.main, phase.classes), mixed_in=mixed_in)


def _sensor(context: TrainingContext, phase: Phase, part: Part) -> ImageSet:
    """Return a part's images of the student's sensor."""
    own, paired = context.held_out[part]
    return paired if phase.on_paired and paired is not None else own


def _student(context: TrainingContext, phase: Phase, images: JobImages) -> TappedNet:
    """Return the network that the phase begins with."""
    student = _new_student(context, phase, images)
    views = context.settings.test_symmetries
    student.facts = replace(student.facts, test_symmetries=views)
    return student


def _new_student(context: TrainingContext, phase: Phase, images: JobImages) -> TappedNet:
    if phase.start is not None:
        started = load_classifier(context.job.directory / phase.start / CHECKPOINT)
        return started.requires_grad_(True)
    settings = context.settings
    if phase.on_paired:
        pairing = settings.cross_modality
        changes = {"bands": pairing.bands, "size": pairing.size or settings.size}
        settings = settings.model_copy(update=changes)
    folders = tuple(entry.folder for entry in context.split.classes)
    if settings.start == "probe":
        sets = [part for part in (images.main, images.mixed_in) if part is not None]
        cache = FeatureCache(context.features, context.device, context.progress)
        return probed_network(settings, folders, sets, cache).requires_grad_(True)
    return new_backbone(settings, folders)


def new_backbone(settings: TrainSettings, folders: tuple[str, ...]) -> TappedNet:
    """Return a network that begins with the weights of the settings and has their last layer.

    Raises:
        UserError: for weights that do not fit, or adapters in a network without blocks.
    """
    if settings.tuning == "adapters":
        student = build_backbone(settings, folders, ADAPTED_SCALE)
        student.adapt(settings.adapter_size)
        return student
    cosine_scale = settings.loss_options.ldam_scale if settings.loss == "ldam" else 0.0
    return build_backbone(settings, folders, cosine_scale)


def _teachers(context: TrainingContext, phase: Phase, images: ImageSet) -> dict[str, Teacher]:
    """Load the teachers of a phase.

    Raises:
        UserError: for a teacher of other classes, image size or bands than the images have.
    """
    teachers, folders = {}, tuple(entry.folder for entry in context.split.classes)
    for name, where in phase.teachers.items():
        file = where if isinstance(where, Path) else context.job.directory / where / CHECKPOINT
        net = load_classifier(file)
        if net.facts.folders != folders:
            raise UserError(
                f"teacher {file} has the classes {', '.join(net.facts.folders[:4])}, ... in that "
                f"order; the run has {', '.join(folders[:4])}, ...; train one on this run"
            )
        if (net.facts.size, net.facts.bands) != (images.size, images.bands):
            raise UserError(
                f"teacher {file} takes images of {net.facts.size} px and {net.facts.bands} bands, "
                f"but gets {images.size} px and {images.bands} bands; train one with "
                f"--set size={images.size} --set bands={images.bands}"
            )
        teachers[name] = Teacher(context.device.place(net))
    return teachers
