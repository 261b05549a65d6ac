"""Training of a detector: everything it needs is built and checked before the first step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classify.detection.checkpoints import CHECKPOINT, load_detector, save_detector
from classify.detection.dataset import (
    DetectionDataset,
    cut_into_tiles,
    dataset_digest,
    keep_empty_share,
)
from classify.detection.distill.base import DetectionTask, DistillationPair
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.mimic import build_mimicking
from classify.detection.evaluate import evaluate_detector
from classify.detection.models.backbones import freeze_stages
from classify.detection.models.build import DetectorSpec, build_detector, set_precision
from classify.detection.paste_sources import open_pasting
from classify.detection.pasting import Pasting
from classify.detection.sampling import ImageSampling
from classify.detection.schedule import schedule_in_words
from classify.detection.settings import MIMICKING, DetectSettings
from classify.detection.trainer import DetectorTrainer
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import sha256_of, write_json, write_text
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import STATE, Job, check_same, run_steps, whole_state

METRICS, SETTINGS = "metrics.json", "settings.yaml"
LOSSES = "as released"  # older versions had other forms under the same names


@dataclass(frozen=True)
class DetectorTraining:
    """A training that is ready to start."""

    net: nn.Module
    spec: DetectorSpec
    task: DetectionTask
    parts: tuple[DetectionDataset, DetectionDataset]  # images or tiles to train on; test images
    settings: DetectSettings
    job: Job
    in_words: str  # images trained on and left out, how they are drawn, how long, at which rates
    pasting: Pasting | None = None  # of objects into training images


def prepare_training(
    parts: tuple[DetectionDataset, DetectionDataset],
    directory: Path,
    settings: DetectSettings,
    progress: Progress,
    resume: bool = True,
    teacher: Path | None = None,
) -> DetectorTraining:
    """Build everything that a training needs; writes nothing.

    Args:
        parts: training and test.
        directory: gets the detector and its metrics.
        settings: of the training.
        progress: shows the steps.
        resume: whether to continue from a checkpoint in the directory.
        teacher: file of a trained detector, if the settings need one.

    Raises:
        DataError: if no object is annotated.
        UserError: for a teacher that is missing, not needed, or of another kind.
    """
    train, test = parts
    if all(image.is_empty for image in train.images):
        raise DataError("no labelled object among the training images: nothing to learn")
    learned, images_in_words = _images_to_learn(train, settings)
    settings = settings.of_length(len(learned.images))
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "detector init"))
    spec = DetectorSpec(
        detector=settings.detector,
        backbone=settings.backbone,
        classes=train.classes,
        size=settings.size,
        frozen_norm=settings.backbone_weights is not None,
        fpn_channels=settings.fpn_channels,
        box_loss=settings.box_loss,
        tile_size=settings.tile_size,
        tile_overlap=settings.tile_overlap,
        nms_candidates=settings.nms_candidates,
        short_side=settings.short_side,
    )
    net: Any = device.place(build_detector(spec, settings.backbone_weights))
    freeze_stages(net.backbone, settings.backbone, settings.frozen_stages)
    set_precision(net, device.autocast)
    task = _build_task(net, spec, teacher, settings, device)
    made_from = {
        "facts": spec.to_record(),
        "training data": dataset_digest(train),
        "teacher": sha256_of(teacher) if teacher else "",
    }
    if settings.is_rotated or settings.imitation.region != "none":
        made_from["losses"] = LOSSES
    if settings.epochs is not None:
        made_from["order of images"] = "epochs"
    pasting = open_pasting(learned, test, settings)
    if pasting is not None:
        made_from["pasted"] = pasting.digest
        images_in_words += f"; {pasting.in_words}"
    job = Job(directory, device, progress, resume, made_from)
    in_words = f"{images_in_words}; {schedule_in_words(settings, len(learned.images))}"
    return DetectorTraining(net, spec, task, (learned, test), settings, job, in_words, pasting)


def _images_to_learn(
    train: DetectionDataset, settings: DetectSettings
) -> tuple[DetectionDataset, str]:
    """Return the images, or tiles, that are trained on, and a sentence about them."""
    tiles = cut_into_tiles(train, settings.tile_size, settings.tile_overlap)
    kept, num_empty = keep_empty_share(tiles, settings.empty_share, settings.seed)
    left_out = len(tiles.images) - len(kept.images)
    what = "tiles" if settings.tile_size else "images"
    in_words = f"{len(kept.images)} {what} are trained on"
    if num_empty:
        in_words += (
            f"; {left_out} of the {num_empty} without objects are left out "
            f"(empty_share={settings.empty_share:g})"
        )
    if settings.sampling != "uniform":
        in_words += f"; {ImageSampling(kept, settings).in_words()}"
    return kept, in_words


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
        The metrics, as :func:`evaluate_detections` has them; empty on other processes than the
        main one.

    Raises:
        UserError: if a checkpoint there has other settings, data or another teacher.
    """
    settings, job = training.settings, training.job
    directory, device = job.directory, job.device
    train, test = training.parts
    trainer = DetectorTrainer(training.task, train, settings, device, training.pasting)
    run_steps(trainer, settings, job, title=directory.name)
    result: dict[str, Any] = {}
    if device.is_main:
        save_detector(directory / CHECKPOINT, training.net, training.spec)
        write_text(directory / SETTINGS, settings.explained() + "\n")
        result = evaluate_detector(training.net, training.spec, test, device, job.progress)
        write_json(directory / METRICS, result)
    device.wait()
    return result


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
    if settings.compares_features and found.fpn_channels != spec.fpn_channels:
        raise UserError(
            f"{file} has maps of {found.fpn_channels} channels, the student {spec.fpn_channels}; "
            f"their features are compared: take --set fpn_channels={found.fpn_channels}"
        )
    return net
