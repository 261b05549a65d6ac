"""The run's autoencoder: trained at the first call, then read from its file."""

import torch

from tgn.data.runs import Run
from tgn.generation.latents.autoencoder import (
    Autoencoder,
    AutoencoderFacts,
    load_autoencoder,
    save_autoencoder,
)
from tgn.generation.latents.trainer import AutoencoderTrainer
from tgn.generation.settings import GeneratorTrainSettings
from tgn.models.backbones import load_imagenet_backbone
from tgn.models.training_networks import TrainingNetwork, imagenet_network
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job, run_steps

FROZEN_ARCH = "tf_efficientnet_lite0"


def trained_autoencoder(
    run: Run, facts: AutoencoderFacts, settings: GeneratorTrainSettings, job: Job
) -> Autoencoder:
    """Return the run's autoencoder, frozen, on the job's device.

    Args:
        run: its training images of all classes are used; it gets ``latents/``.
        facts: size and bands of the images.
        settings: of the generator that asks for it.
        job: of its training.

    Raises:
        UserError: if the package with the ImageNet weights is not installed.
    """
    loop = LoopSettings(
        steps=settings.autoencoder_steps,
        log_every=settings.log_every,
        save_every=settings.save_every,
        seed=settings.seed,
    )
    training = f"steps={loop.steps} seed={loop.seed}"
    if not _is_there(run, facts, training):
        _train(run, facts, loop, job, training)
    network: Autoencoder = job.device.place(load_autoencoder(run.autoencoder)[0])
    return network


def autoencoder_networks() -> list[TrainingNetwork]:
    """Return the frozen networks that the autoencoder's losses use."""
    return [imagenet_network(FROZEN_ARCH)]


def _is_there(run: Run, facts: AutoencoderFacts, training: str) -> bool:
    if not run.autoencoder.is_file():
        return False
    network, trained_with = load_autoencoder(run.autoencoder)
    return (network.facts, trained_with) == (facts, training)


def _train(run: Run, facts: AutoencoderFacts, loop: LoopSettings, job: Job, training: str) -> None:
    frozen = job.device.place(load_imagenet_backbone(FROZEN_ARCH, facts.size, facts.bands))
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
