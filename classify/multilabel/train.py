"""Training of a multi-label classifier."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.evaluation.class_order import check_classes
from classify.methods.base import Batch, Method, Teacher
from classify.methods.lsh import LshMimicking
from classify.methods.phases import MethodInputs
from classify.multilabel.data import (
    MultiLabelData,
    MultiLabelSampler,
    MultiLabelSet,
    read_labels,
)
from classify.multilabel.metrics import multi_label_summary
from classify.training.layout import CHECKPOINT, METRICS, SETTINGS
from classify.training.settings import TrainSettings
from classify.training.trainer import ClassifierTrainer
from tgn.data.measured_range import measured_range, spread
from tgn.data.sample_range import SampleRange
from tgn.models.backbones import TappedNet, build_backbone, load_classifier, save_classifier
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json, sha256_of, write_json, write_text
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

# Settings that have no effect here: batches are drawn image by image, nothing is validated or
# generated, and the loss is binary cross-entropy.
OF_ONE_LABEL = (
    "balance",
    "sampling",
    "loss",
    "loss_options",
    "label_smoothing",
    "reweighting",
    "mixing",
    "mixing_alpha",
    "cmo",
    "second_stage",
    "second_stage_options",
    "start",
    "generated_use",
    "generated_share",
    "generated_until",
    "generated_weight",
    "generated_ratio",
    "num_validations",
    "logit_kd",
    "feature_mse",
    "t2fts",
    "cross_modality",
)


@dataclass(frozen=True)
class MultiLabelJob:
    """A multi-label classifier to train.

    Attributes:
        table: CSV file of images and labels, see :func:`read_labels`.
        directory: folder of its checkpoint and metrics.
        teacher: file of a multi-label classifier, for ``--method lsh``.
        resume: continue an interrupted training.
    """

    table: Path
    directory: Path
    teacher: Path | None = None
    resume: bool = True


def binary_cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Return the loss of logits [B, C] with labels [B, C], mean over images and classes."""
    return F.binary_cross_entropy_with_logits(logits, batch.labels)


def train_multi_label(
    job: MultiLabelJob, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, test and write one classifier; return the content of ``metrics.json``.

    The averaged weights of the last step are kept; nothing is chosen on the test part.

    Raises:
        UserError: for a method or setting that needs a single label an image, or a teacher that
            does not fit.
        DataError: for a faulty table.
    """
    _check(job, settings)
    data = read_labels(job.table, settings.size, settings.bands)
    settings = settings.resolved(len(data.train.labels))
    device = Device(settings)
    torch.manual_seed(seed_of(settings.seed, "classifier init", ""))
    net = build_backbone(settings, data.classes)
    net.facts = replace(
        net.facts,
        test_symmetries=settings.test_symmetries,
        sample_range=_range_of_set(data),
    )
    student = device.place(net)
    trainer = ClassifierTrainer(
        _method(student, job, data, settings, device),
        MultiLabelSampler(data.train),
        settings,
        device,
    )
    loop_job = Job(job.directory, device, progress, job.resume, _made_from(job, settings))
    run_steps(trainer, settings, loop_job, title=job.directory.name)
    net = trainer.result()
    if device.is_main:
        result = {**evaluate_multi_label(net, data.test, device), "classes": list(data.classes)}
        save_classifier(job.directory / CHECKPOINT, net)
        write_text(job.directory / SETTINGS, settings.explained() + "\n")
        write_json(job.directory / METRICS, result)
    device.wait()
    return read_json(job.directory / METRICS)


def evaluate_multi_label(net: TappedNet, data: MultiLabelSet, device: Device) -> dict[str, Any]:
    """Return the metrics on held-out images, see :func:`multi_label_summary`."""
    logits = torch.cat([logits for logits, _ in predictions(net, data.images, device)])
    return multi_label_summary(logits, data.labels)


def _range_of_set(data: MultiLabelData) -> SampleRange | None:
    """Measure the range of 16-bit and float training images; both parts are read by it."""
    found = measured_range(spread(data.train.images.files))
    for part in (data.train, data.test):
        part.images.in_range(found)
    return found


def _check(job: MultiLabelJob, settings: TrainSettings) -> None:
    if other := [name for name in OF_ONE_LABEL if not _is_default(settings, name)]:
        got = settings.model_dump(mode="json", include={other[0]})[other[0]]
        raise UserError(
            f"setting {other[0]} got {got!r}, which needs a single label an image; leave it out"
        )
    if settings.tuning == "adapters":  # its last layer begins at the means of classes
        raise UserError("tuning=adapters needs a single label an image; take tuning=head or all")
    if job.teacher is not None and settings.method != "lsh":
        raise UserError(f"--teacher got --method {settings.method}; it needs --method lsh")
    if settings.method not in ("plain", "lsh"):
        raise UserError(f"--method got {settings.method!r}; for several labels: plain, lsh")


def _made_from(job: MultiLabelJob, settings: TrainSettings) -> dict[str, str]:
    """Return digests of the table and of the teacher, if there is one."""
    sources = {"table": sha256_of(job.table)}
    if job.teacher is not None and settings.method != "plain":
        sources["teacher"] = sha256_of(job.teacher)
    return sources


def _is_default(settings: TrainSettings, name: str) -> bool:
    return bool(getattr(settings, name) == TrainSettings.model_fields[name].default)


def _method(
    student: TappedNet,
    job: MultiLabelJob,
    data: MultiLabelData,
    settings: TrainSettings,
    device: Device,
) -> Method:
    if settings.method == "plain":
        return Method(student, binary_cross_entropy)
    if job.teacher is None:
        raise UserError(
            "--method lsh needs --teacher, the name or file of a classifier of this table"
        )
    teacher = load_classifier(job.teacher)
    check_classes(f"teacher {job.teacher}", teacher.facts.folders, data.classes)
    if teacher.facts.size != settings.size:
        raise UserError(
            f"teacher {job.teacher} reads images at {teacher.facts.size} px, the student at "
            f"{settings.size} px; give --set size={teacher.facts.size}, or train one at this size"
        )
    counts = data.train.labels.sum(0).long()
    teachers = {"teacher": Teacher(device.place(teacher))}
    inputs = MethodInputs(
        student,
        binary_cross_entropy,
        teachers,
        counts,
        data.train.images,
        None,
        device,
        settings.seed,
    )
    return LshMimicking(inputs, settings.lsh)
