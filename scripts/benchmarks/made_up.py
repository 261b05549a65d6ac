"""A run with all but training: random images, a hardly trained tail net, a random painter."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tgn.data.runs import Run
from tgn.data.splits.make_split import SplitSettings, split_run
from tgn.generation.cdtg.conditional_generator import Painter
from tgn.generation.cdtg.presets import architecture
from tgn.generation.cdtg.sample import WEIGHTS, save_painter
from tgn.kmdn.settings import DistillSettings
from tgn.kmdn.stage import distill
from tgn.models.feature_bank import read_bank
from tgn.runtime.progress import Silent

CLASSES, IMAGES, SIDE = 4, 20, 64


def made_up_run(folder: Path, preset: str) -> Run:
    """Make a run in ``folder`` whose generator has random weights of a preset's shape."""
    os.environ["TGN_RUNS"] = str(folder / "runs")
    draw = np.random.default_rng(0)
    for number in range(CLASSES * IMAGES):
        place = folder / "data" / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    run, split = split_run(folder / "data", "benchmark", SplitSettings(), Silent())
    distill(run, DistillSettings(steps=4, batch_size=8), Silent())
    bank, numbers = read_bank(run.path / "kmdn"), architecture(preset)
    torch.manual_seed(0)
    painter = Painter(numbers, split.num_classes, bank.features.shape[2])
    painter.fit(bank.features[:, 0].float(), bank.labels)
    save_painter(run.path / "cdtg" / WEIGHTS, painter, split.num_classes, bank.weights_sha256)
    return run
