"""Small made-up data: coloured shapes that a tiny net can tell apart."""

import gc
import io
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from tests_support import BARELY, CDTG, QUICK, copied_run

from tgn.data.runs import Run
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.generation.cdtg.train import train_cdtg
from tgn.kmdn.distill import distill
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.progress import Silent

LONGEST = ("processes", "test_tutorial.py", "test_broken_inputs.py")  # folders, files
COLOURS = ((200, 60, 60), (60, 170, 80), (70, 90, 210), (220, 190, 60))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: the workers of a parallel run then end together."""
    items.sort(key=lambda item: not {item.path.name, item.path.parent.name} & {*LONGEST})


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what stays anyway: millions of objects of modules and tests.

    Its full rounds took a twentieth of the time.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let what was spared be cleared away in its order."""
    gc.unfreeze()


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


@pytest.fixture(scope="session", autouse=True)
def _less_waiting() -> Iterator[None]:
    """Do once what every call of a command repeats, and do not wait for the disk.

    No test pulls the plug: what is written is seen at once by all who read.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def charts() -> None:
    """Let charts be painted in this test: see below."""


@pytest.fixture(autouse=True)
def _charts_for_those_who_look(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put charts together, but leave them blank for tests that do not ask for ``charts``.

    To paint them takes three quarters of the time of a small split, and two thirds of that of a
    small training.
    """
    if "charts" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", _save_blank)


def _save_blank(_: Figure, file: Path | io.BytesIO, **__: object) -> None:
    Image.new("L", (2, 2)).save(file, "PNG")


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


def draw_folder(data: Path, counts: Mapping[str, int], test: int = 3, size: int = 32) -> Path:
    """Write DATA/{train,test}/<class>/*.png; return DATA."""
    for kind, (name, count) in enumerate(counts.items()):
        for part, number in (("train", count), ("test", test)):
            folder = data / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(number):
                seed = 10_000 * kind + 2 * i + (part == "test")
                draw_shape(kind, seed, size).save(folder / f"{i:03d}.png")
    return data


@pytest.fixture
def fake_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of DATA/{train,test}/<class>/*.png."""
    return partial(draw_folder, tmp_path / "data")


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make once what :func:`fake_run` copies."""
    made = tmp_path_factory.mktemp("split")
    data = draw_folder(made / "data", {"square": 24, "disc": 12, "bar": 6, "cross": 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TGN_RUNS", str(made / "runs"))
        split_run(data, "fake", SplitSettings(val_fraction=0.0), Silent())
    return made


@pytest.fixture(scope="session")
def made_distilled(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make once what :func:`distilled` copies."""
    made = tmp_path_factory.mktemp("distilled")
    chosen = DistillSettings.model_validate({**BARELY, **QUICK})
    distill(copied_run(made_run, made), chosen, Silent())
    return made


@pytest.fixture(scope="session")
def made_trained(made_distilled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make once what :func:`trained` copies."""
    made = tmp_path_factory.mktemp("cdtg")
    few = CdtgTrainSettings.model_validate({**CDTG, "steps": 1, "clip": "none"})
    train_cdtg(copied_run(made_distilled, made), few, Silent())
    return made


@pytest.fixture
def fake_run(made_run: Path, in_tmp: Path) -> Run:
    """Return a split run of four classes with 24, 12, 6 and 4 training images."""
    return copied_run(made_run, in_tmp)


@pytest.fixture
def distilled(made_distilled: Path, in_tmp: Path) -> Run:
    """Return the fake run with its tail net and feature bank, barely trained."""
    return copied_run(made_distilled, in_tmp)


@pytest.fixture
def trained(made_trained: Path, in_tmp: Path) -> Run:
    """Return the fake run with tail net, feature bank and a CDTG generator, barely trained."""
    return copied_run(made_trained, in_tmp)
