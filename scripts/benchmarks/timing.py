"""Seconds of work, on a GPU too."""

import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    finish()
    started = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - started


def seconds_of_steps(step: Callable[[int], object], steps: range) -> float:
    """Return how long some steps take together."""
    return seconds(lambda: [step(number) for number in steps])


def finish() -> None:
    """Wait for what a GPU has begun."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
