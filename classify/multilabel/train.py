"""One training of a multi-label classifier, by the loop of all classifiers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.methods.base import Batch, Method, Teacher
from classify.methods.lsh import LshMimicking
from classify.methods.phases import Parts
from classify.multilabel.data import Labelled, MultiLabelData, MultiLabelMixture, read_labels
from classify.multilabel.metrics import multi_label_summary
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.models.backbones import TappedNet, build_backbone, load_classifier, save_classifier
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, write_json, write_text
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

CHECKPOINT, METRICS, SETTINGS = "classifier.safetensors", "metrics.json", "settings.yaml"


@dataclass(frozen=True)
class MultiLabelLesson:
    """One classifier to train."""

    table: Path
    directory: Path
    teacher: Path | None = None
    resume: bool = True


def binary_cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Mean over images and classes; labels [B, C]."""
    return F.binary_cross_entropy_with_logits(logits, batch.labels)


def train_multi_label(
    lesson: MultiLabelLesson, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, test and write one classifier; return the content of ``metrics.json``.

    The averaged weights of the last step count; the test part decides nothing.

    Raises:
        UserError: for a method or setting that needs one label an image, or a teacher that does
            not fit.
        DataError: for a faulty table.
    """
    _check(settings)
    data = read_labels(lesson.table, settings.size, settings.bands)
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "classifier init", ""))
    student = device.place(build_backbone(settings, data.classes))
    trainer = ClassifierTrainer(
        _method(student, lesson, data, settings, device),
        MultiLabelMixture(data.train),
        settings,
        device,
    )
    job = Job(lesson.directory, device, progress, lesson.resume)
    run_steps(trainer, settings, job, title=lesson.directory.name)
    net = trainer.result()
    if device.is_main:
        result = {**evaluate_multi_label(net, data.test, device), "classes": list(data.classes)}
        save_classifier(lesson.directory / CHECKPOINT, net)
        write_text(lesson.directory / SETTINGS, settings.explained() + "\n")
        write_json(lesson.directory / METRICS, result)
    device.wait()
    return read_json(lesson.directory / METRICS)


def evaluate_multi_label(net: TappedNet, data: Labelled, device: Device) -> dict[str, Any]:
    """Return the measures on held-out images."""
    logits = torch.cat([logits for logits, _ in predictions(net, data.images, device)])
    return multi_label_summary(logits, data.labels)


def _check(settings: TrainSettings) -> None:
    wanted = {"loss": "ce", "reweighting": "none", "mixing": "none", "finish": "none"}
    if odd := [name for name, value in wanted.items() if getattr(settings, name) != value]:
        raise UserError(f"setting {odd[0]} needs one label an image; leave it at {wanted[odd[0]]}")
    if settings.method not in ("plain", "lsh"):
        raise UserError(f"--method got {settings.method!r}; for several labels: plain, lsh")


def _method(
    student: TappedNet,
    lesson: MultiLabelLesson,
    data: MultiLabelData,
    settings: TrainSettings,
    device: Device,
) -> Method:
    if settings.method == "plain":
        return Method(student, binary_cross_entropy)
    if lesson.teacher is None:
        raise UserError("--method lsh needs --teacher, a multi-label classifier by name or file")
    teacher = load_classifier(lesson.teacher)
    if (teacher.facts.folders, teacher.facts.size) != (data.classes, settings.size):
        raise UserError(
            f"teacher {lesson.teacher} knows {len(teacher.facts.folders)} classes at "
            f"{teacher.facts.size} px, the table has {len(data.classes)}, the student "
            f"{settings.size} px; train one on this table at this size"
        )
    counts = data.train.labels.sum(0).long()
    teachers = {"teacher": Teacher(device.place(teacher))}
    parts = Parts(
        student,
        binary_cross_entropy,
        teachers,
        counts,
        data.train.images,
        None,
        device,
        settings.seed,
    )
    return LshMimicking(parts, settings.lsh)
