"""The stage ``tgn train --backend diffusion``: builds, trains and writes the denoiser."""

import torch

from tgn.data.image_set import select_classes
from tgn.data.made_from import SPLIT, split_sha256
from tgn.data.runs import Run
from tgn.generation.diffusion.denoiser import Denoiser, DenoiserFacts, save_denoiser
from tgn.generation.diffusion.settings import DiffusionTrainSettings
from tgn.generation.diffusion.trainer import DiffusionTrainer
from tgn.generation.frozen_network import frozen_network
from tgn.generation.latents.train import trained_autoencoder
from tgn.generation.tail_net import load_frozen_tail_net, warn_of_smaller_input
from tgn.generation.training_monitor import run_monitored
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import sample_tail_features
from tgn.models.training_networks import as_header, tail_net_networks
from tgn.runtime.devices import Device
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job

COLLAPSE_REMEDY = (
    "train longer (steps), or generate with lower guidance and more conditioning_noise"
)


def train_diffusion(
    run: Run, settings: DiffusionTrainSettings, progress: Progress, resume: bool = True
) -> None:
    """Train a denoiser on a run whose ``kmdn/`` is there; writes ``latents/`` and ``diffusion/``.

    Args:
        run: split and distilled.
        settings: of the training.
        progress: gets the count of steps and warnings.
        resume: continue from the last checkpoint, if there is one.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: if the checkpoint is of another tail net, or for settings or data that cannot
            work.
    """
    made_from = {
        "tail_net_sha256": sha256_of(tail_net_file(run.kmdn)),
        SPLIT: split_sha256(run.split()),
    }
    job = Job(run.diffusion, Device(settings), progress, resume, made_from)
    with job.alone():
        _train(run, settings, job)


def _train(run: Run, settings: DiffusionTrainSettings, job: Job) -> None:
    trainer = build_diffusion_trainer(run, settings, job)
    facts = {**job.made_from, "precision": job.device.precision}
    run.record("train", settings, backend="diffusion", **facts)
    against = [*tail_net_networks(tail_net_file(run.kmdn)), frozen_network()]
    run_monitored(trainer, run, settings, job, COLLAPSE_REMEDY, against)
    if job.device.is_main:
        save_denoiser(
            run.denoiser,
            trainer.averaged_denoiser,
            job.made_from["tail_net_sha256"],
            trained_against=as_header(against),
            trained_classes=settings.classes,
        )


def build_diffusion_trainer(
    run: Run, settings: DiffusionTrainSettings, job: Job
) -> DiffusionTrainer:
    """Build the networks for a run whose ``kmdn/`` is there, at step 0.

    The autoencoder is trained if the run has none yet.

    Raises:
        NotFoundError: without a tail net.
        UserError: for images that cannot be generated, or without the autoencoder's frozen network.
    """
    split, device = run.split(), job.device
    frozen_tail_net = load_frozen_tail_net(run, device)
    warn_of_smaller_input(frozen_tail_net, settings.size, job)
    tail_net = frozen_tail_net.tail_net
    images = split.image_set("train", run.path, settings.size, tail_net.facts.bands)
    facts = DenoiserFacts(
        settings.size,
        tail_net.facts.bands,
        settings.width,
        split.num_classes,
        tail_net.feature_channels,
    )
    loop = LoopSettings(
        steps=settings.autoencoder_steps,
        log_every=settings.log_every,
        save_every=settings.save_every,
        seed=settings.seed,
    )
    autoencoder = trained_autoencoder(run, facts.latents, loop, job)
    if settings.classes == "tail":
        images = select_classes(images, split.tail_classes)
    features, labels = sample_tail_features(frozen_tail_net, images, device, settings.seed)
    torch.manual_seed(seed_of(settings.seed, "diffusion init"))
    denoiser = Denoiser(facts, autoencoder)
    denoiser.fit(features, labels)
    return DiffusionTrainer(device.place(denoiser), frozen_tail_net, images, settings, device)
