"""Training of a detector: everything it needs is built and checked before the first step."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classify.detection.checkpoints import (
    CHECKPOINT,
    find_detector,
    load_detector,
    save_detector,
)
from classify.detection.data.dataset import DetectionDataset, dataset_digest
from classify.detection.data.parts import (
    Parts,
    images_to_learn,
    validation_in_words,
    with_validation,
)
from classify.detection.data.paste_sources import open_pasting
from classify.detection.data.pasting import Pasting
from classify.detection.data.sampling import sampling_in_words
from classify.detection.distill.base import DetectionTask, DistillationPair
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.mimic import build_mimicking
from classify.detection.evaluation.evaluate import evaluate_detector
from classify.detection.models.backbones import freeze_stages
from classify.detection.models.build import (
    DetectorSpec,
    build_detector,
    initialise_towers,
    set_precision,
)
from classify.detection.settings.detector import MIMICKING, DetectSettings
from classify.detection.settings.head import DENSE
from classify.detection.training.best_weights import BestWeights
from classify.detection.training.schedule import schedule_in_words
from classify.detection.training.start import start_from
from classify.detection.training.trainer import DetectorTrainer
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of, write_json, write_text
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import STATE, Job, check_same, run_steps, whole_state

METRICS, SETTINGS = "metrics.json", "settings.yaml"
LAST, BEST = "last step", "highest AP50 of the validation part"
LOSSES = "as released, over a batch"  # older versions had other forms under the same names


@dataclass(frozen=True)
class DetectorTraining:
    """A training that is ready to start."""

    net: nn.Module
    spec: DetectorSpec
    task: DetectionTask
    parts: Parts  # whole images
    learned: DetectionDataset  # images or tiles to train on
    settings: DetectSettings  # with their number of steps
    job: Job
    in_words: str  # what it starts from, images, steps, rates, and which weights are chosen
    pasting: Pasting | None = None  # of objects into training images


def prepare_training(
    parts: Parts | tuple[DetectionDataset, DetectionDataset],
    directory: Path,
    settings: DetectSettings,
    progress: Progress,
    resume: bool = True,
    teacher: Path | None = None,
) -> DetectorTraining:
    """Build everything that a training needs; writes nothing.

    Args:
        parts: training, test and, if there is one, validation.
        directory: gets the detector and its metrics.
        settings: of the training.
        progress: shows the steps.
        resume: whether to continue from a checkpoint in the directory.
        teacher: file of a trained detector, if the settings need one.

    Raises:
        DataError: if no object is annotated.
        UserError: for a teacher that is missing, not needed, or of another kind; or settings that
            do not fit the data.
    """
    parts = with_validation(Parts(*parts), settings)
    learned, images_in_words = images_to_learn(parts.train, settings)
    settings = settings.of_length(len(learned.images))
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "detector init"))
    spec = _spec_of(settings, parts.train.classes)
    net: Any = build_detector(spec, settings.initial_weights)
    if settings.initial_head == "kaiming":
        initialise_towers(net)
    start = None if settings.start is None else find_detector(settings.start)
    start_in_words = "" if start is None else start_from(net, spec, start).in_words
    net = device.place(net)
    freeze_stages(net.backbone, settings.frozen_stages)
    set_precision(net, device.autocast)
    if settings.detector == "faster-rcnn":
        net.roi_heads.fg_bg_sampler.batch_size_per_image = settings.proposals_per_image
    if settings.detector in DENSE:
        net.average, net.processes = device.average, device.processes
    task = _build_task(net, spec, teacher, settings, device)
    made_from = _made_from(parts, spec, settings, teacher, start)
    pasting = open_pasting(learned, parts, settings)
    if pasting is not None:
        made_from["pasted"] = pasting.digest
    job = Job(directory, device, progress, resume, made_from)
    facts = (
        start_in_words,
        images_in_words,
        sampling_in_words(learned, settings),
        pasting.in_words if pasting else "",
        schedule_in_words(settings, len(learned.images)),
        validation_in_words(parts, settings),
    )
    in_words = "; ".join(filter(None, facts))
    return DetectorTraining(net, spec, task, parts, learned, settings, job, in_words, pasting)


def _spec_of(settings: DetectSettings, classes: tuple[str, ...]) -> DetectorSpec:
    return DetectorSpec(
        detector=settings.detector,
        backbone=settings.backbone,
        classes=classes,
        size=settings.size,
        frozen_norm=settings.norm == "frozen",
        fpn_channels=settings.fpn_channels,
        box_loss=settings.box_loss,
        tile_size=settings.tile_size,
        tile_overlap=settings.tile_overlap,
        nms_candidates=settings.nms_candidates,
        head_norm=settings.head_norm,
        short_side=settings.short_side,
        finest_stride=settings.finest_stride,
        fpn_norm=settings.fpn_norm,
        level_scales=settings.level_scales and settings.detector == "gfl",
    )


def _made_from(
    parts: Parts,
    spec: DetectorSpec,
    settings: DetectSettings,
    teacher: Path | None,
    start: Path | None,
) -> dict[str, Any]:
    """Return what a checkpoint of this training must have been made from."""
    made_from = {
        "facts": spec.to_record(),
        "training data": dataset_digest(parts.train),
        "teacher": sha256_of(teacher) if teacher else "",
    }
    if start is not None:
        made_from["start"] = sha256_of(start)
    if settings.detector in DENSE:
        made_from["losses"] = LOSSES
    if settings.epochs is not None:
        made_from["order of images"] = "epochs"
    if parts.validation is not None:
        made_from["validation data"] = dataset_digest(parts.validation)
    return made_from


def check_resume(training: DetectorTraining) -> None:
    """Check that :func:`train_detector` can continue from the checkpoint, if there is one.

    Raises:
        UserError: if the checkpoint has other settings, data or another teacher.
    """
    path = training.job.directory / STATE
    state = whole_state(path, training.job.progress) if training.job.resume else None
    if state is not None:
        check_same(state, training.settings, training.job.made_from, path)


def train_detector(training: DetectorTraining) -> dict[str, Any]:
    """Train on the first part, test on the second, and write the detector.

    Returns:
        The metrics, as :func:`evaluate_detections` has them, and ``chosen``: the step whose weights
        these are, and by which rule. Empty on other processes than the main one.

    Raises:
        UserError: if a checkpoint there has other settings, data or another teacher.
    """
    settings, job = training.settings, training.job
    directory, device = job.directory, job.device
    trainer = DetectorTrainer(training.task, training.learned, settings, device, training.pasting)
    look = functools.partial(_look, training, trainer.best)
    run_steps(trainer, settings, job, title=directory.name, after_step=look)
    result: dict[str, Any] = {}
    if device.is_main:
        trainer.best.load_into(training.net)
        save_detector(directory / CHECKPOINT, training.net, training.spec)
        write_text(directory / SETTINGS, settings.explained() + "\n")
        test = training.parts.test
        result = evaluate_detector(training.net, training.spec, test, device, job.progress)
        rule = LAST if training.parts.validation is None else BEST
        result["chosen"] = {"rule": rule, "step": trainer.best.step or settings.steps}
        write_json(directory / METRICS, result)
    device.wait()
    return result


def _look(training: DetectorTraining, best: BestWeights, done: int) -> dict[str, float] | None:
    """Evaluate on the validation part if it is time, and keep the weights if they are the best."""
    data, job = training.parts.validation, training.job
    if data is None or not training.settings.is_look(done):
        return None
    result = evaluate_detector(training.net, training.spec, data, job.device, Silent())
    score = result["voc12"]["ap50"] or 0.0
    best.look(score, done, training.net)
    return {"val_ap50": score}


def _build_task(
    net: nn.Module,
    spec: DetectorSpec,
    teacher: Path | None,
    settings: DetectSettings,
    device: Device,
) -> DetectionTask:
    """Return the losses of a student alone, or with a teacher."""
    if not settings.distillation:
        if teacher is not None:
            raise UserError(
                "a teacher was given, but distill=none; choose how to distill: --distill"
            )
        return DetectionTask(net)
    if teacher is None:
        name, value = next(iter(settings.distillation.items()))
        raise UserError(f"{name}={value} needs a teacher: --teacher NAME or FILE")
    teacher_net = _load_teacher(teacher, spec, settings)
    set_precision(device.move(teacher_net.requires_grad_(False)), device.autocast)
    pair = DistillationPair(net, teacher_net, settings.seed, device.autocast, device.average)
    if settings.distill in MIMICKING:
        return build_mimicking(pair, settings.distill, settings.mimic)
    return DenseDistillation(pair, settings)


def _load_teacher(file: Path, spec: DetectorSpec, settings: DetectSettings) -> nn.Module:
    """Read a teacher and check that it fits its student."""
    net, found = load_detector(file)
    if (found.detector, found.classes) != (spec.detector, spec.classes):
        raise UserError(
            f"{file} is a {found.detector} for {', '.join(found.classes)}; expected a "
            f"{spec.detector} for {', '.join(spec.classes)}"
        )
    if found.finest_stride != spec.finest_stride:
        raise UserError(
            f"{file} has a pyramid from stride {found.finest_stride} on, the student from "
            f"{spec.finest_stride}; their levels are compared: take --set "
            f"finest_stride={found.finest_stride}"
        )
    if settings.compares_features and found.fpn_channels != spec.fpn_channels:
        raise UserError(
            f"{file} has maps of {found.fpn_channels} channels, the student {spec.fpn_channels}; "
            f"their features are compared: take --set fpn_channels={found.fpn_channels}"
        )
    return net
