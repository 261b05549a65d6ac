#!/usr/bin/env -S .venv/bin/python
"""How much faster is a step of `tgn train` than the textbook way? A ratio inside one run.

    scripts/benchmarks/training.py --size 64 --batch 48

Both sides take the same steps with all terms of the loss. The textbook's: weights scaled for each
image in grouped convolutions, filters as convolutions, float32. They take turns, each in a process
of its own. Then ours is taken apart: the share of each part, backward passes for themselves. Last,
the seconds that one core computes for a step of ours, which other processes hardly change.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from apart import apart
from machine import machine
from made_up import made_up_run
from textbook import textbook
from timing import finish, seconds_of_steps

from tgn.data.runs import Run
from tgn.generation.cdtg import trainer as cdtg
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.recombination import Recombination
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.generation.cdtg.train import build_cdtg_trainer
from tgn.generation.cdtg.trainer import CdtgTrainer
from tgn.generation.stage_discriminator import StageDiscriminator
from tgn.models.backbones import TappedNet
from tgn.models.clip import ClipGuide
from tgn.models.tail_features import FrozenTailNet
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import Job

PARTS = {
    "batch": (CdtgTrainer, "_host_batch"),
    "recombination": (Recombination, "forward"),
    "generator": (ConditionalGenerator, "forward"),
    "frozen network": (TappedNet, "first_stages"),
    "discriminator": (StageDiscriminator, "forward"),
    "tail net": (FrozenTailNet, "forward"),
    "CLIP": (ClipGuide, "forward"),
    "path length": (CdtgTrainer, "_path_length"),
    "backward passes, optimisers": (cdtg, "optimise"),
}


def side(run: Run, given: argparse.Namespace, plain: bool) -> float:
    """Return images a second of one side, after some steps to warm up."""
    steps = given.plain_steps if plain else given.steps
    with textbook() if plain else nullcontext():
        trainer = trainer_of(run, given, "float32" if plain else "auto")
        seconds_of_steps(trainer.train_step, range(1, 2 if plain else 4))
        return steps * given.batch / seconds_of_steps(trainer.train_step, range(1, steps + 1))


def taken_apart(run: Run, given: argparse.Namespace) -> str:
    """Return what share of our time each part takes."""
    trainer = trainer_of(run, given, "auto")
    seconds_of_steps(trainer.train_step, range(1, 4))
    return shares(trainer, range(1, given.steps + 1))


def core_seconds(run: Run, given: argparse.Namespace) -> float:
    """Return the processor's seconds for one of our steps on one thread."""
    torch.set_num_threads(1)
    trainer = trainer_of(run, given, "auto")
    trainer.train_step(1)
    steps = range(2, 2 + given.steps)
    return seconds_of_steps(trainer.train_step, steps, time.process_time) / given.steps


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Count the seconds of each part, without those of parts within."""
    running: list[float] = []  # seconds of inner parts, one entry a nesting

    def wrap(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            finish()
            started = time.perf_counter()
            running.append(0.0)
            result = work(*args, **kwargs)
            finish()
            whole = time.perf_counter() - started
            spent[name] += whole - running.pop()
            if running:
                running[-1] += whole
            return result

        return wrapped

    with ExitStack() as patches:
        for name, (owner, method) in PARTS.items():
            wrapped = wrap(name, getattr(owner, method))
            patches.enter_context(mock.patch.object(owner, method, wrapped))
        yield


def shares(trainer: CdtgTrainer, steps: range) -> str:
    """Return what share of the time each part takes."""
    spent: dict[str, float] = defaultdict(float)
    with timed(spent):
        whole = seconds_of_steps(trainer.train_step, steps)
    spent["rest"] = whole - sum(spent.values())
    longest_first = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {part / whole:.0%}" for name, part in longest_first)


def trainer_of(run: Run, given: argparse.Namespace, precision: str) -> CdtgTrainer:
    """Return a trainer; path lengths are measured every so many steps in both."""
    settings = CdtgTrainSettings(
        size=given.size,
        width=given.width,
        batch_size=given.batch,
        clip_steps=2,
        precision=precision,
        path_every=given.every,
    )
    return build_cdtg_trainer(run, settings, Job(run.path / precision, Device(settings), Silent()))


def main() -> None:
    """Time both ways in turn, print ratio and shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64, help="of images in pixels")
    parser.add_argument("--width", type=int, default=96, help="of the generator")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--steps", type=int, default=16, help="ours, a turn")
    parser.add_argument("--plain-steps", type=int, default=16, help="the textbook's, a turn")
    parser.add_argument("--every", type=int, default=16, help="steps between path lengths")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = made_up_run(Path(name), given.size, given.width)
        ours, theirs = [], []
        for _ in range(given.turns):
            ours.append(apart(side, run, given, False))
            theirs.append(apart(side, run, given, True))
        parts = apart(taken_apart, run, given)
        core = apart(core_seconds, run, given)
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    print(machine())
    print(
        f"{given.size} px, width {given.width}, batch {given.batch}: textbook "
        f"{statistics.median(theirs):.2f} images/s, ours {statistics.median(ours):.2f} images/s; "
        f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); "
        f"a step of ours on one thread {core:.2f} core-seconds\n{parts}"
    )


if __name__ == "__main__":
    main()
