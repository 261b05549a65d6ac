"""One side of a benchmark in its own process: what one side sets up must not help the other."""

import multiprocessing
from collections.abc import Callable
from typing import Any


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """Return ``work(*given)``, worked out in a new process; everything must be picklable."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)
