"""A training job from images to files: its phases in turn, teachers first, then the student."""

from typing import Any

import torch

from classify.evaluation.evaluate import evaluate
from classify.methods.phases import MethodInputs, Phase, RunFacts
from classify.training.class_frequencies import use_of
from classify.training.context import TrainingContext
from classify.training.criterion import label_criterion
from classify.training.effects import check_effects
from classify.training.job import JobImages, TrainingJob, images_of, made_from, sensor_images
from classify.training.layout import METRICS, SETTINGS
from classify.training.method_phases import phases_of
from classify.training.networks import build_student, load_teachers
from classify.training.sampling import MixtureSampler
from classify.training.settings import TrainSettings, recorded_settings
from classify.training.trainer import ClassifierTrainer
from classify.training.uses.curriculum import check_ratios
from classify.training.uses.soft_labels import soft_labels
from classify.training.written import write_trained
from tgn.data.image_set import ImageSet
from tgn.data.made_from import MADE_FROM, same_sources
from tgn.data.manifest import active_rows
from tgn.data.runs import Run
from tgn.data.split import Part
from tgn.metrics.classification import group_accuracy
from tgn.runtime.devices import Device
from tgn.runtime.files import read_json
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress
from tgn.runtime.training_loop import Job, run_steps

HELD_OUT: tuple[Part, ...] = ("val", "test")
WITHOUT_VALIDATION = "last step"
BY_VALIDATION = "last validation within one standard error of the best"


def train_classifier(
    run: Run, job: TrainingJob, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, choose, test and write one classifier; return the content of ``metrics.json``.

    The step is chosen on the validation part if every class has images there; otherwise the
    averaged weights of the last step are taken, since a choice by some classes would be made at
    the cost of the others. Generated images are only trained on, never tested on. Finished phases
    with the same settings, generated images and teachers are not repeated.

    Raises:
        DataError: if there are no generated images where some were asked for.
        UserError: if a teacher is missing or does not fit, or an earlier training there had other
            settings, generated images or teachers.
    """
    with kept_unchanged(job.augmented):
        return _train(run, job, settings, progress)


def _train(
    run: Run, job: TrainingJob, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    phases = planned_phases(run, job, settings)
    images = images_of(job, run, settings)
    held_out = {part: sensor_images(run, settings, part) for part in HELD_OUT}
    device = Device(settings)
    context = TrainingContext(
        run.split(),
        job,
        settings,
        device,
        progress,
        images,
        held_out,
        run.feature_cache,
        made_from(job, run, phases),
    )
    for phase in phases:
        if not (phase.name and job.resume and _is_done(context, phase)):
            _train_phase(context, phase)
    return read_json(job.directory / METRICS)


def planned_phases(run: Run, job: TrainingJob, settings: TrainSettings) -> tuple[Phase, ...]:
    """Return the phases of a job, in their order.

    Raises:
        UserError: if the method lacks a teacher or a folder, or a setting of generated images or of
            the second stage would have no effect.
        DataError: if a curriculum is wanted of images of one noise ratio.
    """
    check_effects(settings, job)
    split = run.split()
    if job.augmented is not None and settings.generated_use == "curriculum":
        check_ratios((row.noise for row in active_rows(job.augmented, split)), job.augmented)
    facts = RunFacts(tuple(split.counts), split.num_head, job.teacher, run.kmdn, run.classifiers)
    return phases_of(settings, facts)


def _is_done(context: TrainingContext, phase: Phase) -> bool:
    directory = context.directory(phase)
    if not (directory / METRICS).is_file():
        return False
    recorded_from = read_json(directory / METRICS).get(MADE_FROM, {})
    is_same = same_sources(recorded_from, context.made_from)
    return is_same and recorded_settings(directory / SETTINGS) == context.settings_of(phase)


def _train_phase(context: TrainingContext, phase: Phase) -> None:
    """Train, test and write the classifier of one phase."""
    settings, images = context.settings_of(phase), context.images_of(phase)
    validation = context.validation_of(phase)
    trainer = _trainer(context, phase, images, validation)
    if phase.steps:
        _run(context, phase, trainer, validation)
    net = trainer.result()
    if context.device.is_main:
        rule = WITHOUT_VALIDATION if validation is None else BY_VALIDATION
        test = context.held_out_of(phase, "test")
        result = {
            **evaluate(net, test, context.split, context.device),
            "chosen": {"rule": rule, "step": trainer.best["step"] or settings.steps},
            "generated_images": images.num_generated,
            MADE_FROM: context.made_from,
        }
        if phase.classes:
            own = group_accuracy(torch.tensor(result["confusion"]), phase.classes)
            result["own_classes"] = {"classes": list(phase.classes), "accuracy": own}
        if phase.control:
            control = read_json(context.job.directory / phase.control / METRICS)
            result["control"] = {group: control[group] for group in ("balanced", "head", "tail")}
        write_trained(context.directory(phase), net, result, settings)
    context.device.wait()


def _trainer(
    context: TrainingContext, phase: Phase, images: JobImages, validation: ImageSet | None
) -> ClassifierTrainer:
    """Build student, teachers and method of a phase."""
    settings, device = context.settings_of(phase), context.device
    student = build_student(context, phase, images)
    sampler = _sampler(context, settings, images)
    teacher_images = images.main if images.paired is None else images.paired
    inputs = MethodInputs(
        student=student,
        criterion=label_criterion(settings, sampler.counts, sampler.frequencies.generated),
        teachers=load_teachers(context, phase, teacher_images),
        counts=sampler.counts,
        images=images.main,
        validation=validation,
        device=device,
        seed=settings.seed,
    )
    return ClassifierTrainer(phase.build(inputs), sampler, settings, device)


def _sampler(
    context: TrainingContext, settings: TrainSettings, images: JobImages
) -> MixtureSampler:
    use, mixed_in = use_of(settings, context.split.num_head), images.mixed_in
    if mixed_in is not None and use.kind == "curriculum":
        use = use._replace(noise=mixed_in.noise)
    if mixed_in is not None and use.kind == "soft":
        use = use._replace(targets=soft_labels(context, images.main, mixed_in))
    return MixtureSampler(
        images.main,
        None if mixed_in is None else mixed_in.images,
        settings.sampling,
        context.split.num_classes,
        use,
        images.paired,
    )


def _run(
    context: TrainingContext,
    phase: Phase,
    trainer: ClassifierTrainer,
    validation: ImageSet | None,
) -> None:
    every = max(trainer.settings.steps // trainer.settings.num_validations, 1)

    def after_step(done: int) -> dict[str, float] | None:
        if validation is not None and done % every == 0:
            return trainer.validate(done, validation, context.classes_of(phase))
        return None

    job, directory = context.job, context.directory(phase)
    loop_job = Job(directory, context.device, context.progress, job.resume, context.made_from)
    title = "/".join(part for part in (job.directory.name, phase.name) if part)
    run_steps(trainer, trainer.settings, loop_job, title=title, after_step=after_step)
