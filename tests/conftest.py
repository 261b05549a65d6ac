"""Small made-up data: coloured shapes that a tiny net can tell apart."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tests_support import QUICK

from tgn.data.runs import Run
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.progress import Silent

COLOURS = ((200, 60, 60), (60, 170, 80), (70, 90, 210), (220, 190, 60))


def draw_shape(kind: int, seed: int, size: int) -> Image.Image:
    """Draw a square, disc, bar or cross on a noisy ground."""
    draw = np.random.default_rng(seed)
    ground = draw.integers(90, 130, (size, size, 3), dtype=np.uint8)
    picture = Image.fromarray(ground)
    ink = ImageDraw.Draw(picture)
    x, y = draw.integers(size // 4, size // 2, 2)
    half, colour = size // 4, COLOURS[kind % 4]
    if kind % 4 == 0:
        ink.rectangle((x, y, x + half, y + half), colour)
    elif kind % 4 == 1:
        ink.ellipse((x, y, x + half, y + half), colour)
    elif kind % 4 == 2:
        ink.rectangle((0, y, size, y + 3), colour)
    else:
        ink.line((x, y, x + half, y + half), colour, 3)
    return picture


@pytest.fixture(autouse=True)
def _the_same_numbers() -> None:
    """Seed torch: what a test draws does not depend on which tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with the runs in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TGN_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture
def fake_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of DATA/{train,test}/<class>/*.png."""

    def make(counts: Mapping[str, int], test: int = 3, size: int = 32) -> Path:
        data = tmp_path / "data"
        for kind, (name, count) in enumerate(counts.items()):
            for part, number in (("train", count), ("test", test)):
                folder = data / part / name
                folder.mkdir(parents=True, exist_ok=True)
                for i in range(number):
                    seed = 10_000 * kind + 2 * i + (part == "test")
                    draw_shape(kind, seed, size).save(folder / f"{i:03d}.png")
        return data

    return make


@pytest.fixture
def fake_run(in_tmp: Path, fake_folder: Callable[..., Path]) -> Run:
    """Return a split run of four classes with 24, 12, 6 and 4 training images."""
    data = fake_folder({"square": 24, "disc": 12, "bar": 6, "cross": 4})
    return split_run(data, "fake", SplitSettings(val_fraction=0.0), Silent())[0]


@pytest.fixture
def distilled(fake_run: Run) -> Run:
    """Return the fake run with its tail net and feature bank, barely trained."""
    distill(fake_run, DistillSettings(steps=4, batch_size=8, bank_views=2, **QUICK), Silent())
    return fake_run
