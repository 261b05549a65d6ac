"""What a training of a comparison cost: time and memory, written beside its metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tgn.runtime.explanations import content_of
from tgn.runtime.files import read_json, write_json
from tgn.runtime.memory import peak_mib, restart_peak

COST = "cost.json"


class Cost(NamedTuple):
    """Time and memory of one training, interruptions left out."""

    seconds: float
    peak_mib: int | None  # None where the system does not say


@contextmanager
def recorded_cost(directory: Path, goes_on: bool) -> Iterator[None]:
    """Measure what is done inside and write it; added to what was spent before an interruption.

    Args:
        directory: of the training.
        goes_on: this is the rest of a training that was interrupted.
    """
    before = read_cost(directory) if goes_on else None
    restart_peak()
    start = time.monotonic()
    try:
        yield
    finally:
        cost = Cost(time.monotonic() - start, peak_mib())
        write_json(directory / COST, _total(before, cost)._asdict())


def read_cost(directory: Path) -> Cost | None:
    """Return what a training cost; None for one of before this was recorded."""
    path = directory / COST
    if not path.is_file():
        return None
    with content_of(path):
        return Cost(**read_json(path))


def _total(before: Cost | None, now: Cost) -> Cost:
    if before is None:
        return now
    peaks = [cost.peak_mib for cost in (before, now) if cost.peak_mib is not None]
    return Cost(before.seconds + now.seconds, max(peaks, default=None))
