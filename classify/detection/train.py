"""The training of a detector: what it needs, checked before it begins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classify.detection.checkpoints import CHECKPOINT, load_detector, save_detector
from classify.detection.dataset import Scenes, cut, digest_of
from classify.detection.distill.base import Pair, Teaching
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.mimic import mimicking
from classify.detection.evaluate import evaluate_detector
from classify.detection.models.backbones import freeze_stages
from classify.detection.models.build import DetectorFacts, build_detector, compute_in
from classify.detection.settings import MIMICKING, DetectSettings
from classify.detection.trainer import DetectorTrainer
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import sha256_of, write_json, write_text
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import STATE, Job, check_same, run_steps, whole_state

METRICS, SETTINGS = "metrics.json", "settings.yaml"


@dataclass(frozen=True)
class Training:
    """A detector about to be trained, all its parts in place."""

    net: nn.Module
    facts: DetectorFacts
    teaching: Teaching
    parts: tuple[Scenes, Scenes]  # training and test
    settings: DetectSettings
    job: Job


def prepared(
    parts: tuple[Scenes, Scenes],
    directory: Path,
    settings: DetectSettings,
    progress: Progress,
    resume: bool = True,
    teacher: Path | None = None,
) -> Training:
    """Build everything that a training needs; writes nothing.

    Args:
        parts: training and test.
        directory: gets the detector and its measures.
        settings: of the training.
        progress: audience.
        resume: whether to continue what was begun there.
        teacher: file of a trained detector, if the settings want one.

    Raises:
        DataError: if nothing is labelled.
        UserError: for a teacher that is missing, not wanted, or of another kind.
    """
    train, _ = parts
    if not any(len(scene.labels) for scene in train.scenes):
        raise DataError("no labelled object among the training images: nothing to learn")
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "detector init"))
    facts = DetectorFacts(
        settings.detector,
        settings.backbone,
        train.classes,
        settings.size,
        settings.weights is not None,
        settings.width,
        settings.box_loss,
        settings.patch,
        settings.overlap,
    )
    net: Any = device.place(build_detector(facts, settings.weights))
    freeze_stages(net.backbone, settings.backbone, settings.frozen_stages)
    compute_in(net, device.autocast)
    teaching = _teaching(net, facts, teacher, settings, device)
    made_from = {
        "facts": {**facts._asdict(), "classes": list(facts.classes)},
        "training data": digest_of(train),
        "teacher": sha256_of(teacher) if teacher else "",
    }
    job = Job(directory, device, progress, resume, made_from)
    return Training(net, facts, teaching, parts, settings, job)


def check_resume(training: Training) -> None:
    """Refuse what :func:`train_detector` would refuse to go on with.

    Raises:
        UserError: if what was begun there has other settings, data or another teacher.
    """
    path = training.job.directory / STATE
    state = whole_state(path, training.job.progress) if training.job.resume else None
    if state is not None:
        check_same(state, training.settings, training.job.made_from, path)


def train_detector(training: Training) -> dict[str, Any]:
    """Train on the first part, test on the second, write the detector; return its measures.

    Raises:
        UserError: if what was begun there has other settings, data or another teacher.
    """
    settings, job = training.settings, training.job
    directory, device = job.directory, job.device
    train, test = training.parts
    scenes = cut(train, settings.patch, settings.overlap)
    trainer = DetectorTrainer(training.teaching, scenes, settings, device)
    run_steps(trainer, settings, job, title=directory.name)
    result: dict[str, Any] = {}
    if device.is_main:
        save_detector(directory / CHECKPOINT, training.net, training.facts)
        write_text(directory / SETTINGS, settings.explained() + "\n")
        result = evaluate_detector(training.net, training.facts, test, device, job.progress)
        write_json(directory / METRICS, result)
    device.wait()
    return result


def _teaching(
    net: nn.Module,
    facts: DetectorFacts,
    teacher: Path | None,
    settings: DetectSettings,
    device: Device,
) -> Teaching:
    """Put student and teacher together, as the settings say."""
    if not settings.is_taught:
        if teacher is not None:
            raise UserError("a teacher was given, but distill=none; say how it teaches: --distill")
        return Teaching(net)
    if teacher is None:
        raise UserError(f"distill={settings.distill} wants a teacher: --teacher NAME or FILE")
    master, known = load_detector(teacher)
    if (known.detector, known.classes) != (facts.detector, facts.classes):
        raise UserError(
            f"{teacher} is a {known.detector} for {', '.join(known.classes)}; expected a "
            f"{facts.detector} for {', '.join(facts.classes)}"
        )
    if settings.compares_maps and known.width != facts.width:
        raise UserError(
            f"{teacher} has maps of {known.width} channels, the student {facts.width}, and they "
            f"are to be compared; take --set width={known.width}"
        )
    compute_in(device.move(master.requires_grad_(False)), device.autocast)
    pair = Pair(net, master, settings.seed, device.autocast, device.average)
    if settings.distill in MIMICKING:
        return mimicking(pair, settings.distill, settings.mimic)
    return DenseDistillation(pair, settings)
