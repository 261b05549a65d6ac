"""The stage ``tgn train --backend stable-diffusion``: records a pretrained model, or tunes it."""

from typing import Any

import torch
from torch import nn

from tgn.data.image_grid import save_grid
from tgn.data.image_set import select_classes
from tgn.data.made_from import SPLIT, split_sha256
from tgn.data.prompts import Prompts, read_prompts, warn_of_numbers
from tgn.data.runs import Run
from tgn.generation.diffusion.pretrained.cost import training_cost
from tgn.generation.diffusion.pretrained.learned_words import add_words, prompts_with_words
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
from tgn.generation.diffusion.pretrained.trainer import TuningTrainer
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.devices import Device
from tgn.runtime.files import sha256_of
from tgn.runtime.logs import GRIDS, keep_until
from tgn.runtime.pace import Pace
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

BACKEND = "stable-diffusion"
GRID_IMAGES = 4  # of a class in the grid
TIMED_STEPS = 3  # behind the first, which is slower


def train_pretrained(
    run: Run, settings: PretrainedTrainSettings, progress: Progress, resume: bool = True
) -> None:
    """Take a pretrained model into a run whose ``kmdn/`` is there; writes ``stable-diffusion/``.

    Args:
        run: split and distilled.
        settings: which model, and how it is tuned on the run's images.
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
    read_prompts(run.prompts_file, split)  # a mistake in it is said before any work
    if device.is_main:
        warn_of_numbers(split.names, progress)
        if cost := training_cost(settings):
            progress.warn(cost)
    pipeline = load_pipeline(settings.model).to(device.torch_device)
    size = settings.size or native_size(pipeline)
    record = PretrainedModelRecord(settings.model, size, digest(pipeline.unet), tail_net_sha256)
    own = {SPLIT: split_sha256(split)}
    facts = {"tail_net_sha256": tail_net_sha256, **own, "precision": device.precision}
    run.record("train", settings, backend=BACKEND, **facts)
    if settings.tuning != "none":
        record = record._replace(classes=settings.classes, **_tuned(settings, pipeline))
        job = Job(run.pretrained, device, progress, resume, {**_made_from(record), **own})
        _tune(run, pipeline, settings.with_changes({"size": size}), job)
    elif device.is_main:
        keep_until(run.pretrained, 0)  # of a tuning that this replaces
    if device.is_main:
        save_record(run, record, pipeline)
        _save_sample_grid(run, record, settings)
    device.wait()


def _tuned(settings: PretrainedTrainSettings, pipeline: Any) -> dict[str, Any]:
    """Return what the record says of the tuning."""
    if settings.tuning == "lora":
        return {"rank": settings.rank}
    return {
        "vectors": settings.vectors,
        "text_encoder_sha256": digest(pipeline.text_encoder),
    }


def _made_from(record: PretrainedModelRecord) -> dict[str, str]:
    encoder = {"text_encoder_sha256": record.text_encoder_sha256} if record.vectors else {}
    return {"unet_sha256": record.unet_sha256, **encoder}


def _tune(run: Run, pipeline: Any, settings: PretrainedTrainSettings, job: Job) -> None:
    """Train LoRA or the vectors of new words, which stay in the pipeline."""
    split = run.split()
    torch.manual_seed(seed_of(settings.seed, "lora init"))
    if settings.tuning == "lora":
        parameters: list[nn.Parameter] = add_lora(pipeline.unet, settings.rank)
        prompts: Prompts = read_prompts(run.prompts_file, split)
    else:
        parameters = [add_words(pipeline, split, settings.vectors).vectors]
        prompts = prompts_with_words(run.prompts_file, split, settings.vectors)
    images = split.image_set("train", run.path, settings.size or native_size(pipeline), 3)
    images = images if settings.classes == "all" else select_classes(images, split.tail_classes)
    trainer = TuningTrainer(pipeline, parameters, images, prompts, settings, job.device)
    wait = torch.cuda.synchronize if job.device.is_gpu else None
    pace = Pace(job.progress, "steps", TIMED_STEPS, wait)
    run_steps(trainer, settings, job, "tune", lambda step: pace.reached(step, settings.steps))


def _save_sample_grid(
    run: Run, record: PretrainedModelRecord, settings: PretrainedTrainSettings
) -> None:
    """Write a grid of real tail images and generated ones: from them, or from learned words."""
    changes = {"noise": 1.0, "guidance": 1.0} if record.vectors else {}
    sampling = PretrainedSampleSettings(
        block=GRID_IMAGES,
        device=settings.device,
        precision=settings.precision,
        seed=settings.seed,
        **changes,
    )
    sampler, rows = open_pretrained_sampler(run, sampling), []
    for label in sampler.split.tail_classes:
        generated, _ = sampler.sample_block(label, 0, sampling)
        of_class = sampler.bank.rows_of(label)
        real = sampler.images.batch(of_class[torch.arange(GRID_IMAGES) % len(of_class)])
        rows.append(torch.cat((real, generated)))
    names = [sampler.split.names[label] for label in sampler.split.tail_classes]
    columns = ["real"] * GRID_IMAGES + [f"r={sampling.noise:g}"] * GRID_IMAGES
    save_grid(run.pretrained / GRIDS / "0000000.png", rows, names, columns)
