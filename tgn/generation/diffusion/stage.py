"""The stage ``tgn train --backend diffusion``: the denoiser built, trained and written."""

import torch

from tgn.data.images import to_pm1
from tgn.data.runs import Run
from tgn.data.split import of_classes
from tgn.generation.diffusion.denoiser import WEIGHTS, Denoiser, DenoiserFacts, save_denoiser
from tgn.generation.diffusion.settings import DiffusionSettings
from tgn.generation.diffusion.train import DiffusionTrainer
from tgn.generation.training_monitor import Preview
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import Critic, some_features
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator, seed_of
from tgn.runtime.training_loop import Job, run_steps

FITTED = 512  # images that tell mean and variance
LARGEST_GRID = 8  # places of a side that the source's features are told of


def train(run: Run, settings: DiffusionSettings, progress: Progress, resume: bool = True) -> None:
    """Train a denoiser on a run whose ``kmdn/`` is there; writes ``diffusion/``.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: for settings or data that cannot work.
    """
    directory = run.path / "diffusion"
    job = Job(directory, Device(settings), progress, resume)
    tail_net_sha256 = sha256_of(tail_net_file(run.path / "kmdn"))
    trainer = open_trainer(run, settings, job.device)
    facts = {"tail_net_sha256": tail_net_sha256, "precision": job.device.precision}
    run.record("train", settings, backend="diffusion", **facts)
    preview = Preview(run.split(), trainer.images, trainer.critic, settings, job)
    run_steps(
        trainer,
        settings,
        job,
        title="train",
        after_step=lambda done: preview.after(done, trainer.draw),
    )
    if job.device.is_main:
        save_denoiser(directory / WEIGHTS, trainer.averaged_denoiser, tail_net_sha256)


def open_trainer(run: Run, settings: DiffusionSettings, device: Device) -> DiffusionTrainer:
    """Build the networks for a run whose ``kmdn/`` is there, at step 0.

    Raises:
        NotFoundError: without a tail net.
        UserError: for data that cannot be drawn.
    """
    split = run.split()
    tail_net = device.place(load_classifier(tail_net_file(run.path / "kmdn")))
    if tail_net.facts.bands not in (1, 3):
        raise UserError(
            f"the tail net sees {tail_net.facts.bands} bands; images of 1 or 3 bands can be drawn: "
            "tgn distill --set bands=3 (classify takes any number)"
        )
    images = split.image_set("train", run.path, settings.size, tail_net.facts.bands)
    if settings.classes == "tail":
        images = of_classes(images, split.tail_classes)
    critic = Critic(tail_net)
    features, labels = some_features(critic, images, device, settings.seed)
    torch.manual_seed(seed_of(settings.seed, "diffusion init"))
    denoiser = Denoiser(
        DenoiserFacts(
            settings.size,
            tail_net.facts.bands,
            settings.width,
            split.num_classes,
            tail_net.feature_channels,
            min(features.shape[-1], LARGEST_GRID),
            settings.predicts,
        )
    )
    rows = torch.randperm(len(images), generator=generator(settings.seed, "diffusion fit"))
    denoiser.fit(features, labels, to_pm1(images.batch(rows[:FITTED])))
    return DiffusionTrainer(device.place(denoiser), critic, images, settings, device)
