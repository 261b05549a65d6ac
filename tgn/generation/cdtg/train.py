"""The stage ``tgn train`` with CDTG: builds the networks, trains them and writes the generator."""

from collections.abc import Sequence
from typing import cast

import torch

from tgn.data.image_set import ImageSet, select_classes
from tgn.data.images import to_u8
from tgn.data.made_from import SPLIT, split_sha256
from tgn.data.prompts import Prompts, read_prompts, warn_of_numbers
from tgn.data.runs import Run
from tgn.generation.cdtg.architecture import recombining_architecture
from tgn.generation.cdtg.checkpoint import is_imported, save_conditional_generator
from tgn.generation.cdtg.clip_tiny import trained_tiny_clip
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.generation.cdtg.start import (
    IMPORTED,
    fitted_to_start,
    keep_import,
    start_file,
    start_from,
)
from tgn.generation.cdtg.step_parts import CdtgNetworks
from tgn.generation.cdtg.trainer import COMPARED, STAGES, CdtgTrainer
from tgn.generation.frozen_network import frozen_network, load_frozen_network
from tgn.generation.stage_discriminator import StageDiscriminator
from tgn.generation.tail_net import load_frozen_tail_net, warn_of_smaller_input
from tgn.generation.training_monitor import run_monitored
from tgn.models.clip import ClipGuide, clip_sha256, load_clip
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import FrozenTailNet, random_views, within_class_distance
from tgn.models.tiny_clip import tiny_clip_networks
from tgn.models.training_networks import TrainingNetwork, as_header, tail_net_networks
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job

COLLAPSE_REMEDY = "raise diversity_weight"
CLIP_REMEDY = (
    "use --set clip=tiny (trained here, no download), clip=none, or clip=ARCH:/path/to/file"
)


def train_cdtg(
    run: Run, settings: CdtgTrainSettings, progress: Progress, resume: bool = True
) -> None:
    """Train CDTG on a run whose ``kmdn/`` is there; writes ``cdtg/``.

    Args:
        run: split and distilled.
        settings: of the training.
        progress: gets the count of steps and warnings.
        resume: continue from the last checkpoint, if there is one; False also replaces an
            imported generator.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: if the checkpoint is of another tail net, if the run has an imported generator,
            or for settings, CLIP sources or data that cannot work.
    """
    if resume and is_imported(run.cdtg_generator) and settings.start != IMPORTED:
        raise UserError(
            f"{run.cdtg_generator} is an imported generator, which training would overwrite; start "
            f"from it, and it is kept: tgn train --init {IMPORTED}; or train in another run (tgn "
            "split DATA --run NAME), or replace it: tgn train --no-resume"
        )
    settings = fitted_to_start(run, settings)
    made_from = {
        "tail_net_sha256": sha256_of(tail_net_file(run.kmdn)),
        SPLIT: split_sha256(run.split()),
    }
    if start := start_file(run, settings.start):
        made_from["start_sha256"] = sha256_of(start)
    job = Job(run.cdtg, Device(settings), progress, resume, made_from)
    with job.alone():
        _train(run, settings, job)


def _train(run: Run, settings: CdtgTrainSettings, job: Job) -> None:
    if settings.start == IMPORTED and job.device.is_main:
        keep_import(run)
    job.device.wait()
    trainer = build_cdtg_trainer(run, settings, job)
    facts = {**job.made_from, "precision": job.device.precision}
    run.record("train", settings, backend="cdtg", **facts)
    against = _trained_against(run, settings, trainer.networks.clip)
    if job.device.is_main and is_imported(run.cdtg_generator) and settings.start != IMPORTED:
        run.cdtg_generator.unlink()  # else an interrupted training could not be gone on with
    run_monitored(trainer, run, settings, job, COLLAPSE_REMEDY, against)
    if job.device.is_main:
        folders = [entry.folder for entry in run.split().classes]
        save_conditional_generator(
            run.cdtg_generator,
            trainer.averaged_generator,
            folders,
            job.made_from["tail_net_sha256"],
            trained_against=as_header(against),
            trained_classes=settings.classes,
        )


def build_cdtg_trainer(run: Run, settings: CdtgTrainSettings, job: Job) -> CdtgTrainer:
    """Build the networks for a run whose ``kmdn/`` is there, at step 0.

    Raises:
        NotFoundError: without a tail net.
        UserError: for settings, CLIP sources or data that cannot work, or without the frozen
            network.
    """
    split, device = run.split(), job.device
    frozen_tail_net = load_frozen_tail_net(run, device)
    torch.manual_seed(seed_of(settings.seed, "cdtg init"))
    generator = _generator(run, settings, frozen_tail_net, job)
    size, bands = generator.architecture.size, generator.architecture.bands
    warn_of_smaller_input(frozen_tail_net, size, job)
    frozen = load_frozen_network(size, bands, device)
    images = split.image_set("train", run.path, size, bands)
    clip = _clip(settings, images, read_prompts(run.prompts_file, split), job)
    if clip is not None and job.device.is_main:
        warn_of_numbers(split.names, job.progress)
    files = [file for file, _ in split.train]
    if settings.classes != "all":
        files = [file for file, label in split.train if not split.is_head(label)]
        images = select_classes(images, split.tail_classes)
    _fit(generator, frozen_tail_net, images, files, settings.seed, device)
    real_distance = 0.0
    if settings.diversity_weight:
        real_distance = within_class_distance(
            lambda real: frozen.first_stages(real, COMPARED),
            images,
            split.tail_classes,
            device,
            settings.seed,
        )
    torch.manual_seed(seed_of(settings.seed, "cdtg discriminator init"))
    discriminator = StageDiscriminator(
        frozen.stage_channels[:STAGES], split.num_classes, generator.feature_channels
    )
    networks = CdtgNetworks(
        generator, device.place(discriminator), frozen, frozen_tail_net, clip, real_distance
    )
    return CdtgTrainer(networks, images, settings, device)


def _generator(
    run: Run, settings: CdtgTrainSettings, frozen_tail_net: FrozenTailNet, job: Job
) -> ConditionalGenerator:
    """Return the generator to train, on the device."""
    split, tail_net = run.split(), frozen_tail_net.tail_net
    numbers = recombining_architecture(settings.size, tail_net.facts.bands, settings.width)
    channels = tail_net.feature_channels
    if start := start_file(run, settings.start):
        folders = [entry.folder for entry in split.classes]
        built = start_from(start, folders, numbers, channels)
    else:
        built = ConditionalGenerator(numbers, split.num_classes, channels)
    return cast(ConditionalGenerator, job.device.place(built))


@torch.no_grad()
def _fit(
    generator: ConditionalGenerator,
    frozen_tail_net: FrozenTailNet,
    images: ImageSet,
    files: Sequence[str],
    seed: int,
    device: Device,
) -> None:
    """Measure the features of real images, and keep some images of every class with their files."""
    recombination, features, kept, order = generator.recombination, [], [], []
    per_class = recombination.per_class if recombination is not None else 1
    for real, rows in random_views(images, device, seed, per_class):
        features.append(frozen_tail_net(real).stages[-1].mean((2, 3), keepdim=True))
        kept.append(to_u8(real))
        order.append(rows)
    generator.fusion.standardise(torch.cat(features))
    if recombination is not None:
        rows = torch.cat(order)
        named = [files[row] for row in rows.tolist()]
        recombination.keep(torch.cat(kept), images.labels[rows].to(real.device), named)


def _trained_against(
    run: Run, settings: CdtgTrainSettings, clip: ClipGuide | None
) -> list[TrainingNetwork]:
    """Return the frozen networks that losses used."""
    networks = [*tail_net_networks(tail_net_file(run.kmdn)), frozen_network()]
    if clip is not None:
        networks.append(TrainingNetwork(f"CLIP {settings.clip}", clip_sha256(settings.clip, clip)))
        networks += tiny_clip_networks() if settings.clip == "tiny" else []
    return list(dict.fromkeys(networks))


def _clip(
    settings: CdtgTrainSettings, images: ImageSet, prompts: Prompts, job: Job
) -> ClipGuide | None:
    if settings.clip == "none" or not settings.clip_weight:
        return None
    if settings.clip != "tiny":
        return job.device.place(load_clip(settings.clip, prompts, CLIP_REMEDY)).freeze()
    loop = LoopSettings(steps=settings.clip_steps, seed=settings.seed)
    inner = Job(job.directory / "clip", job.device, job.progress, job.resume)
    return trained_tiny_clip(images, prompts, loop, inner).freeze()
