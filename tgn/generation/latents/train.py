"""The run's autoencoder: trained at the first call, then read from its file."""

import torch

from tgn.data.runs import Run
from tgn.generation.frozen_network import load_frozen_network
from tgn.generation.latents.autoencoder import (
    Autoencoder,
    AutoencoderFacts,
    load_autoencoder,
    save_autoencoder,
)
from tgn.generation.latents.trainer import AutoencoderTrainer
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job, run_steps


def trained_autoencoder(
    run: Run, facts: AutoencoderFacts, loop: LoopSettings, job: Job
) -> Autoencoder:
    """Return the run's autoencoder, frozen, on the job's device.

    Args:
        run: its training images of all classes are used; it gets ``latents/``.
        facts: size and bands of the images.
        loop: number of steps, seed.
        job: of the generator that asks for it.

    Raises:
        UserError: if the package with the ImageNet weights is not installed.
    """
    training = f"steps={loop.steps} seed={loop.seed}"
    if not _is_there(run, facts, training):
        _train(run, facts, loop, job, training)
    network: Autoencoder = job.device.place(load_autoencoder(run.autoencoder)[0])
    return network


def _is_there(run: Run, facts: AutoencoderFacts, training: str) -> bool:
    if not run.autoencoder.is_file():
        return False
    network, trained_with = load_autoencoder(run.autoencoder)
    return (network.facts, trained_with) == (facts, training)


def _train(run: Run, facts: AutoencoderFacts, loop: LoopSettings, job: Job, training: str) -> None:
    frozen = load_frozen_network(facts.size, facts.bands, job.device)
    images = run.split().image_set("train", run.path, facts.size, facts.bands)
    torch.manual_seed(seed_of(loop.seed, "autoencoder init"))
    network = job.device.place(Autoencoder(facts))
    made_from = {"facts": list(facts)}
    inner = Job(run.latents, job.device, job.progress, job.resume, made_from)
    trainer = AutoencoderTrainer(network, frozen, images, loop, job.device)
    run_steps(trainer, loop, inner, title="autoencoder")
    if job.device.is_main:
        save_autoencoder(run.autoencoder, trainer.averaged_network, training)
    job.device.wait()
