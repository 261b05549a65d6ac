"""The stage ``tgn train --backend stable-diffusion``: a pretrained model taken over, or tuned."""

import torch

from tgn.data.image_grid import save_grid
from tgn.data.prompts import read_prompts
from tgn.data.runs import Run
from tgn.data.split import of_classes
from tgn.generation.diffusion.pretrained.model import (
    Recipe,
    add_lora,
    digest,
    load_pipeline,
    native_size,
    save_recipe,
)
from tgn.generation.diffusion.pretrained.sample import FOLDER, open_studio
from tgn.generation.diffusion.pretrained.settings import StableSampleSettings, StableSettings
from tgn.generation.diffusion.pretrained.tuning import LoraTrainer
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.devices import Device
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import seed_of
from tgn.runtime.training_loop import Job, run_steps

SHOWN = 4  # images of a class in the grid


def train(run: Run, settings: StableSettings, progress: Progress, resume: bool = True) -> None:
    """Take a pretrained model into a run whose ``kmdn/`` is there; writes ``stable-diffusion/``.

    Raises:
        NotFoundError: without a tail net (``tgn distill`` makes it).
        UserError: for a model that is not there, or prompts that cannot be read.
    """
    directory, device = run.path / FOLDER, Device(settings)
    tail_net_sha256 = sha256_of(tail_net_file(run.path / "kmdn"))
    split = run.split()
    prompts = read_prompts(run.path, split)
    pipeline = load_pipeline(settings.model).to(device.torch_device)
    size = settings.size or native_size(pipeline)
    recipe = Recipe(settings.model, size, digest(pipeline.unet), tail_net_sha256)
    facts = {"tail_net_sha256": tail_net_sha256, "precision": device.precision}
    run.record("train", settings, backend=FOLDER, **facts)
    if settings.tuning == "lora":
        recipe = recipe._replace(rank=settings.rank)
        torch.manual_seed(seed_of(settings.seed, "lora init"))
        trained = add_lora(pipeline.unet, settings.rank)
        tail = of_classes(split.image_set("train", run.path, size, 3), split.tail_classes)
        trainer = LoraTrainer(pipeline, trained, tail, prompts, settings, device)
        run_steps(trainer, settings, Job(directory, device, progress, resume), title="tune")
    if device.is_main:
        save_recipe(directory, recipe, pipeline.unet)
        _show(run, settings)
    device.wait()


def _show(run: Run, settings: StableSettings) -> None:
    """Write a grid of real tail images and what is drawn from them."""
    sampling = StableSampleSettings(block=SHOWN, device=settings.device, seed=settings.seed)
    studio, rows = open_studio(run, sampling), []
    for label in studio.split.tail_classes:
        drawn, origins = studio.draw_block(label, 0, sampling)
        real = studio.images.batch(torch.tensor([source for source, _ in origins]))
        rows.append(torch.cat((real, drawn)))
    names = [studio.split.names[label] for label in studio.split.tail_classes]
    columns = ["source"] * SHOWN + [f"r={sampling.noise}"] * SHOWN
    save_grid(run.path / FOLDER / "grids" / "0000000.png", rows, names, columns)
