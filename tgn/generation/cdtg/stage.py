"""The stage ``tgn train``: networks built, trained and written."""

import torch

from tgn.data.image_set import ImageSet
from tgn.data.prompts import Prompts, read_prompts
from tgn.data.runs import Run
from tgn.data.split import of_classes
from tgn.generation.cdtg.clip_tiny import trained_tiny_clip
from tgn.generation.cdtg.conditional_generator import Painter
from tgn.generation.cdtg.presets import Architecture, architecture, build_discriminator
from tgn.generation.cdtg.sample import WEIGHTS, save_painter
from tgn.generation.cdtg.settings import TrainSettings
from tgn.generation.cdtg.train import CdtgTrainer, Parts
from tgn.generation.training_monitor import Preview
from tgn.models.backbones import load_classifier
from tgn.models.clip import ClipGuide, load_clip
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import Critic, some_features, within_class_distance
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job, run_steps


def train(run: Run, settings: TrainSettings, progress: Progress, resume: bool = True) -> None:
    """Train CDTG on a run whose ``kmdn/`` is there; writes ``cdtg/``.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: for settings, CLIP sources or data that cannot work.
    """
    directory = run.path / "cdtg"
    job = Job(directory, Device(settings), progress, resume)
    split, tail_path = run.split(), tail_net_file(run.path / "kmdn")
    trainer = open_trainer(run, settings, job)
    precision = job.device.precision
    facts = {"tail_net_sha256": sha256_of(tail_path), "precision": precision}
    run.record("train", settings, backend="cdtg", **facts)
    preview = Preview(split, trainer.images, trainer.parts.critic, settings, job)
    run_steps(
        trainer,
        settings,
        job,
        title="train",
        after_step=lambda done: preview.after(done, trainer.draw),
    )
    if job.device.is_main:
        save_painter(
            directory / WEIGHTS,
            trainer.averaged_painter,
            split.num_classes,
            tail_net_sha256=sha256_of(tail_path),
        )


def open_trainer(run: Run, settings: TrainSettings, job: Job) -> CdtgTrainer:
    """Build the networks for a run whose ``kmdn/`` is there, at step 0.

    Raises:
        NotFoundError: without a tail net.
        UserError: for settings, CLIP sources or data that cannot work.
    """
    split, device = run.split(), job.device
    tail_net = device.place(load_classifier(tail_net_file(run.path / "kmdn")))
    if tail_net.facts.bands not in (1, 3):
        raise UserError(
            f"the tail net sees {tail_net.facts.bands} bands; images of 1 or 3 bands can be drawn: "
            "tgn distill --set bands=3 (classify takes any number)"
        )
    numbers = architecture(settings.preset, settings.size, tail_net.facts.bands)
    images = split.image_set("train", run.path, numbers.size, tail_net.facts.bands)
    clip = _clip(settings, images, read_prompts(run.path, split), job)
    images = images if settings.classes == "all" else of_classes(images, split.tail_classes)
    parts = _build(numbers, split.num_classes, Critic(tail_net), clip, settings.seed)
    return CdtgTrainer(_placed(parts, images, settings, device), images, settings, device)


def _build(
    numbers: Architecture, classes: int, critic: Critic, clip: ClipGuide | None, seed: int
) -> Parts:
    torch.manual_seed(seed_of(seed, "cdtg init"))
    painter = Painter(numbers, classes, critic.tail_net.feature_channels)
    return Parts(painter, build_discriminator(numbers, classes), critic, clip, 1.0)


def _placed(parts: Parts, images: ImageSet, settings: TrainSettings, device: Device) -> Parts:
    parts.painter.fit(*some_features(parts.critic, images, device, settings.seed))
    return Parts(
        device.place(parts.painter),
        device.place(parts.discriminator),
        parts.critic,
        parts.clip,
        within_class_distance(parts.critic, images, device, settings.seed),
    )


def _clip(
    settings: TrainSettings, images: ImageSet, prompts: Prompts, job: Job
) -> ClipGuide | None:
    if settings.clip == "none" or not settings.clip_weight:
        return None
    if settings.clip != "tiny":
        return job.device.place(load_clip(settings.clip, prompts)).freeze()
    loop = LoopSettings(steps=settings.clip_steps, seed=settings.seed)
    inner = Job(job.directory / "clip", job.device, job.progress, job.resume)
    return trained_tiny_clip(images, prompts, loop, inner).freeze()
