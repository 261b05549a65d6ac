"""A run with all but training: random images, a hardly trained tail net, a random generator."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.generation.cdtg.architecture import recombining_architecture
from tgn.generation.cdtg.checkpoint import save_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.models.feature_bank import read_bank
from tgn.runtime.progress import Silent

CLASSES, IMAGES, SIDE = 4, 20, 64
USUAL = CdtgTrainSettings()


def made_up_run(folder: Path, size: int = USUAL.size, width: int = USUAL.width) -> Run:
    """Make a run in ``folder`` whose generator has random weights.

    Args:
        folder: gets data and run.
        size: of images in pixels.
        width: of the generator.
    """
    os.environ["TGN_RUNS"] = str(folder / "runs")
    draw = np.random.default_rng(0)
    for number in range(CLASSES * IMAGES):
        place = folder / "data" / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    run, split = split_run(folder / "data", "benchmark", SplitSettings(), Silent())
    distill(run, DistillSettings(arch="tiny", size=32, steps=4, batch_size=8), Silent())
    _random_generator(run, split, size, width)
    return run


def _random_generator(run: Run, split: Split, size: int, width: int) -> None:
    bank, numbers = read_bank(run.kmdn), recombining_architecture(size, 3, width)
    torch.manual_seed(0)
    features = bank.features[:, 0].float()
    generator = ConditionalGenerator(numbers, split.num_classes, features.shape[1])
    generator.fusion.standardise(features)
    images = split.image_set("train", run.path, size, numbers.bands)
    assert generator.recombination is not None  # by its architecture
    every, files = torch.arange(len(images)), [file for file, _ in split.train]
    generator.recombination.keep(images.batch(every), images.labels, files)
    folders = [entry.folder for entry in split.classes]
    save_conditional_generator(run.cdtg_generator, generator, folders, bank.weights_sha256)
