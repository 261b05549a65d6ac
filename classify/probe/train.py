"""A probe from a run's images to files: features, fit, test, checkpoint."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from classify.evaluation.evaluate import accuracy_report, evaluate_logits
from classify.probe.settings import ProbeSettings
from classify.training.generated_images import generated_images
from classify.training.written import write_trained
from tgn.data.image_set import ImageSet
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.metrics.classification import confusion_of
from tgn.models.backbones import TappedNet
from tgn.models.feature_cache import FeatureCache
from tgn.probe.classifier import as_classifier
from tgn.probe.features import (
    FrozenNetwork,
    frozen_networks,
    symmetric_views,
    training_views,
)
from tgn.probe.fit import FittedProbe, GeneratedViews, RealViews, fit_probe, generated_rows
from tgn.probe.transfer import Transfer, joined, transferred
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError
from tgn.runtime.files import require_writable
from tgn.runtime.locks import kept_unchanged
from tgn.runtime.progress import Progress
from tgn.runtime.settings import ComputeSettings

RULES = {
    "ridge": "penalty: smallest class-balanced squared error, each image left out in closed form",
    "softmax": "penalty: smallest class-balanced cross-entropy of 5 folds of training images",
    "prototypes": "nothing to choose",
    "ensemble": "penalty of the ridge; the weights of both heads are fixed",
}


@dataclass(frozen=True)
class ProbeJob:
    """One probe to fit.

    Attributes:
        directory: folder of its checkpoint and metrics.
        augmented: folder of generated images, or None.
        generated_ratio: of them, how many; None takes all (see ``classify train``).
    """

    directory: Path
    augmented: Path | None = None
    generated_ratio: float | None = None


def train_probe(
    run: Run, job: ProbeJob, settings: ProbeSettings, progress: Progress
) -> dict[str, Any]:
    """Fit, test and write one probe; return the content of ``metrics.json``.

    Hyperparameters are chosen on the training images alone, so that no validation part is needed.
    A test image's scores are means over its symmetries. Features are cached on disk by the content
    of images and weights. With one network ``classifier.safetensors`` is written, which
    :func:`tgn.models.backbones.load_classifier` reads; it sees the same symmetries.

    Raises:
        DataError: if a class has no training image, there are no generated images where some were
            asked for, or no head class has two images to transfer from.
        UserError: if weights are missing or do not fit.
    """
    with kept_unchanged(job.augmented):
        return _train(run, job, settings, progress)


def _train(run: Run, job: ProbeJob, settings: ProbeSettings, progress: Progress) -> dict[str, Any]:
    start = time.monotonic()
    require_writable(run.path)
    split = run.split()
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    real = _real_images(run, settings)
    generated = _generated_images(job, split, real, settings)
    if empty := [entry.folder for entry in split.classes if entry.train == 0]:
        raise DataError(f"{', '.join(empty)}: no training image; a probe needs 1 in every class")
    networks = frozen_networks(settings, [entry.folder for entry in split.classes])
    cache = FeatureCache(run.feature_cache, device, progress)
    views = RealViews(training_views(networks, real, settings, cache), real.labels, real.groups)
    added, share = [], settings.generated_share
    if generated is not None:
        tables = training_views(networks, generated, settings, cache)
        added.append(GeneratedViews(tables, generated.labels, share))
    if settings.transfer:
        how = Transfer(settings.transfer, settings.transfer_scale, share, settings.seed)
        added.append(transferred(views, split.num_head, how))
    fitted = fit_probe(
        views,
        [network.parts for network in networks],
        split.num_classes,
        settings.head,
        settings.symmetries,
        joined(added),
    )
    test = split.image_set("test", run.path, settings.size, settings.bands)
    scores = fitted.scores(symmetric_views(networks, test, settings, cache))
    result = {
        **evaluate_logits([(scores, test.labels)], split),
        "chosen": {"rule": RULES[settings.head], "penalty": fitted.penalty, "scale": fitted.scale},
        "left_out": _left_out_report(fitted, real, split),
        "generated_images": 0 if generated is None else len(generated),
        "networks": [{"name": one.name, "weights_sha256": one.sha256} for one in networks],
        "seconds": round(time.monotonic() - start, 1),
    }
    if device.is_main:
        net = _as_net(networks, fitted, settings, split)
        write_trained(job.directory, net, result, settings)
    device.wait()
    return result


def _as_net(
    networks: Sequence[FrozenNetwork], fitted: FittedProbe, settings: ProbeSettings, split: Split
) -> TappedNet | None:
    """Return a probe of one network as a classifier; None of several."""
    if len(networks) > 1:
        return None
    net = as_classifier(networks[0], fitted, settings.symmetries)
    net.facts = replace(net.facts, sample_range=split.sample_range)
    return net


def _real_images(run: Run, settings: ProbeSettings) -> ImageSet:
    """Return the training images, with the validation part behind them where it is asked for."""
    split = run.split()
    train = split.image_set("train", run.path, settings.size, settings.bands)
    if not settings.with_validation:
        return train
    joined = split.model_copy(update={"train": (*split.train, *split.val)})
    return joined.image_set("train", run.path, settings.size, settings.bands)


def _generated_images(
    job: ProbeJob, split: Split, real: ImageSet, settings: ProbeSettings
) -> ImageSet | None:
    """Return the generated images that are used; None if none were asked for or none are."""
    if job.augmented is None:
        return None
    train = real.subset(torch.arange(len(split.train)))
    generated = generated_images(job.augmented, split, train, job.generated_ratio)
    used = generated_rows(generated.labels, real.labels, settings.generated_below)
    return generated.subset(used) if len(used) else None


def _left_out_report(fitted: FittedProbe, real: ImageSet, split: Split) -> dict[str, Any]:
    """Return the accuracies of the real training images, each by a fit without it."""
    confusion = confusion_of(fitted.left_out, real.labels)
    report = accuracy_report(confusion, split)
    return {key: report[key] for key in ("balanced", "head", "tail", "many", "medium", "few")}
