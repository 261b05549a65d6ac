"""The stage ``tgn distill``: trains, evaluates and writes both nets and the feature bank."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from tgn.data.image_set import ImageSet
from tgn.data.made_from import MADE_FROM, SPLIT, TAIL_NET, made_from
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.kmdn.features import feature_bank, head_rows
from tgn.kmdn.schedule import NETS, warmup_steps
from tgn.kmdn.settings import DistillSettings
from tgn.kmdn.trainer import KmdnTrainer, Nets
from tgn.metrics.classification import confusion_matrix, summary
from tgn.models.backbones import build_backbone, load_classifier, save_classifier
from tgn.models.feature_bank import FeatureBank, tail_net_file, write_bank
from tgn.models.inference import predictions
from tgn.models.pretrained import file_of, imagenet_weights
from tgn.models.settings import PACKAGED
from tgn.runtime.devices import Device
from tgn.runtime.files import read_json, sha256_of, write_json
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

BEFORE_MEANS = "after the warm-up, in which each net learned its own classes without a teacher"
FROM_SCRATCH_INSTEAD = (
    "train a small network from scratch: "
    "--set arch=tiny --set size=32 --set steps=800 --set batch_size=64"
)
CONTROL_MEANS = "from there on as many steps on the same batches, without a teacher"


@dataclass(frozen=True)
class DistillResult:
    """Class-mean accuracy on the test part, in [0, 1]: net -> before/after/control -> head/tail.

    ``control`` is absent with ``control=false``; a group is None if no class of it has test images.
    """

    accuracy: dict[str, dict[str, dict[str, Any]]]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The group and the moment of each number in a row."""
        moments = next(iter(self.accuracy.values()))
        return [(group, when) for group in ("tail", "head") for when in moments]

    def rows(self) -> dict[str, list[float | None]]:
        """Return the accuracies of each net, in the order of `columns`."""
        return {
            name: [values[when][group] for group, when in self.columns]
            for name, values in self.accuracy.items()
        }


def distill(
    run: Run, settings: DistillSettings, progress: Progress, resume: bool = True
) -> DistillResult:
    """Train KMDN on a run; writes nets, accuracies and feature bank into ``kmdn/``.

    Args:
        run: split.
        settings: of the training.
        progress: gets the count of steps and warnings.
        resume: continue from the last checkpoint, if there is one.

    Raises:
        UserError: for settings or images that cannot work, or where the package with the ImageNet
            weights is not installed.
    """
    settings = settings.resolved()
    if settings.initial_weights == PACKAGED:
        file_of(imagenet_weights(settings.arch), FROM_SCRATCH_INSTEAD)
    device, split = Device(settings), run.split()
    # steps may change before a resume, the warm-up not: its end is where before and control begin
    sources = {"warmup_steps": warmup_steps(settings), **made_from(run, SPLIT)}
    job = Job(run.kmdn, device, progress, resume, sources)
    with job.alone():
        return _distill(run, split, settings, job)


def _distill(run: Run, split: Split, settings: DistillSettings, job: Job) -> DistillResult:
    device = job.device
    images = split.image_set("train", run.path, settings.size, settings.bands)
    test = split.image_set("test", run.path, settings.size, settings.bands)
    nets = _build(settings, split, device)
    run.record("distill", settings, precision=device.precision_of(nets["tail_net"]))
    trainer = KmdnTrainer(nets, images, split.num_head, settings, device)

    def after_step(done: int) -> None:
        if done == warmup_steps(settings):
            trainer.before = _accuracy(nets, test, split, device)

    run_steps(trainer, settings, job, title="distill", after_step=after_step)
    if device.is_main:
        _write(job, nets, images, split, settings)
        moments = {"before": trainer.before, "after": _accuracy(nets, test, split, device)}
        if controls := trainer.control_nets:
            moments["control"] = _accuracy(controls, test, split, device)
        facts = {**_facts(moments), MADE_FROM: made_from(run, SPLIT, TAIL_NET)}
        write_json(run.distill_accuracy, facts)
    device.wait()
    recorded = read_json(run.distill_accuracy)
    return DistillResult({name: recorded[name] for name in NETS})


def _build(settings: DistillSettings, split: Split, device: Device) -> Nets:
    folders = tuple(entry.folder for entry in split.classes)
    nets: Nets = {}
    for name in NETS:
        torch.manual_seed(seed_of(settings.seed, "kmdn init", name))
        net = build_backbone(settings, folders)
        net.facts = replace(net.facts, sample_range=split.sample_range)
        nets[name] = device.place(net)
    return nets


def _accuracy(nets: Nets, test: ImageSet, split: Split, device: Device) -> dict[str, Any]:
    return {
        name: summary(confusion_matrix(predictions(net, test, device)), split.num_head)
        for name, net in nets.items()
    }


def _facts(moments: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of ``accuracy.json``: before, after and control of each net."""
    facts: dict[str, Any] = {"before_means": BEFORE_MEANS, "part": "test"}
    if "control" in moments:
        facts["control_means"] = CONTROL_MEANS
    return facts | {str(net): {when: m[net] for when, m in moments.items()} for net in NETS}


def _write(job: Job, nets: Nets, images: ImageSet, split: Split, settings: DistillSettings) -> None:
    """Write both nets, then the bank of the tail net as it was written."""
    for name, net in nets.items():
        save_classifier(job.directory / f"{name.removesuffix('_net')}.safetensors", net)
    path = tail_net_file(job.directory)
    tail_net = job.device.move(load_classifier(path))
    tail = (images.labels >= split.num_head).nonzero().flatten()
    parts = tail, head_rows(images.labels, split.num_head, settings.seed)
    # Head images are computed apart: batches of the tail, to their last bits, are those without.
    features = [feature_bank(tail_net, images.subset(p), settings, job.device) for p in parts]
    rows = torch.cat(parts)
    files = [split.train[row][0] for row in rows.tolist()]
    bank = FeatureBank(torch.cat(features), images.labels[rows], files, sha256_of(path))
    write_bank(job.directory, bank)
