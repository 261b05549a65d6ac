"""The stage ``tgn train --backend stable-diffusion``: records a pretrained model, or tunes it."""

import torch

from tgn.data.image_grid import save_grid
from tgn.data.image_set import select_classes
from tgn.data.prompts import read_prompts
from tgn.data.runs import Run
from tgn.generation.diffusion.pretrained.lora_trainer import LoraTrainer
from tgn.generation.diffusion.pretrained.model import (
    PretrainedModelRecord,
    add_lora,
    digest,
    load_pipeline,
    native_size,
    save_record,
)
from tgn.generation.diffusion.pretrained.sampler import open_pretrained_sampler
from tgn.generation.diffusion.pretrained.settings import (
    PretrainedSampleSettings,
    PretrainedTrainSettings,
)
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.devices import Device
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

BACKEND = "stable-diffusion"
GRID_IMAGES = 4  # of a class in the grid


def train_pretrained(
    run: Run, settings: PretrainedTrainSettings, progress: Progress, resume: bool = True
) -> None:
    """Take a pretrained model into a run whose ``kmdn/`` is there; writes ``stable-diffusion/``.

    Args:
        run: split and distilled.
        settings: which model, and whether LoRA is trained on the run's images.
        progress: gets the count of steps and warnings.
        resume: continue from the last checkpoint, if there is one.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: for a model that is not there, a checkpoint of another model, or prompts that
            cannot be read.
    """
    device = Device(settings)
    tail_net_sha256 = sha256_of(tail_net_file(run.kmdn))
    split = run.split()
    prompts = read_prompts(run.prompts_file, split)
    pipeline = load_pipeline(settings.model).to(device.torch_device)
    size = settings.size or native_size(pipeline)
    record = PretrainedModelRecord(settings.model, size, digest(pipeline.unet), tail_net_sha256)
    facts = {"tail_net_sha256": tail_net_sha256, "precision": device.precision}
    run.record("train", settings, backend=BACKEND, **facts)
    if settings.tuning == "lora":
        record = record._replace(rank=settings.rank, classes=settings.classes)
        torch.manual_seed(seed_of(settings.seed, "lora init"))
        parameters = add_lora(pipeline.unet, settings.rank)
        images = split.image_set("train", run.path, size, 3)
        images = images if settings.classes == "all" else select_classes(images, split.tail_classes)
        trainer = LoraTrainer(pipeline, parameters, images, prompts, settings, device)
        made_from = {"unet_sha256": record.unet_sha256}
        job = Job(run.pretrained, device, progress, resume, made_from)
        run_steps(trainer, settings.with_changes({"size": size}), job, title="tune")
    if device.is_main:
        save_record(run, record, pipeline.unet)
        _save_sample_grid(run, settings)
    device.wait()


def _save_sample_grid(run: Run, settings: PretrainedTrainSettings) -> None:
    """Write a grid of real tail images and images generated from them."""
    sampling = PretrainedSampleSettings(
        block=GRID_IMAGES,
        device=settings.device,
        precision=settings.precision,
        seed=settings.seed,
    )
    sampler, rows = open_pretrained_sampler(run, sampling), []
    for label in sampler.split.tail_classes:
        generated, origins = sampler.sample_block(label, 0, sampling)
        real = sampler.images.batch(torch.tensor([origin.source for origin in origins]))
        rows.append(torch.cat((real, generated)))
    names = [sampler.split.names[label] for label in sampler.split.tail_classes]
    columns = ["source"] * GRID_IMAGES + [f"r={sampling.noise}"] * GRID_IMAGES
    save_grid(run.pretrained / "grids" / "0000000.png", rows, names, columns)
