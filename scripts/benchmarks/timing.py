"""Seconds of work, on a GPU too."""

import time
from collections.abc import Callable

import torch

Clock = Callable[[], float]


def seconds(work: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Return how long one call takes by a clock."""
    finish()
    started = clock()
    work()
    finish()
    return clock() - started


def seconds_of_steps(
    step: Callable[[int], object], steps: range, clock: Clock = time.perf_counter
) -> float:
    """Return how long some steps take together by a clock."""
    return seconds(lambda: [step(number) for number in steps], clock)


def finish() -> None:
    """Wait for what a GPU has begun."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
