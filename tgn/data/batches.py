"""Batches of a training: rows drawn by (seed, step), and made ahead in threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import Tensor

from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator

Made = TypeVar("Made")


class Prefetcher(Generic[Made]):
    """Makes the batches of the next steps in threads while step t is trained on.

    Args:
        make: from a step to what it needs; a function of the step alone, safe to call in threads.
        steps: how many there are.
        in_thread: False makes each batch when it is asked for. Where the step itself works on all
            cores of the CPU, a second worker only holds up its threads, which wait for one another.
        ahead: batches that are made at the same time, each in a thread; more than one where a batch
            takes one thread longer than its step takes the device.
    """

    def __init__(
        self, make: Callable[[int], Made], steps: int, in_thread: bool = True, ahead: int = 1
    ) -> None:
        self._make, self._steps = make, steps
        self._ahead = ahead if in_thread else 0
        self._threads = ThreadPoolExecutor(ahead)
        self._coming: dict[int, Future[Made]] = {}

    def __call__(self, step: int) -> Made:
        """Return what ``make(step)`` returns, or raise what it raises."""
        expected, known = self._coming.pop(step, None), self._coming
        made = expected.result() if expected else self._make(step)
        following = range(step + 1, min(step + 1 + self._ahead, self._steps))
        self._coming = {
            later: known.get(later) or self._threads.submit(self._make, later)
            for later in following
        }
        return made


class BatchSampler:
    """Draws the rows of training step t as a function of (seed, t) alone: resume needs no state.

    Args:
        labels: [N] class indices.
        batch_size: rows a step, drawn with replacement across steps.
        power: q, a class is drawn in proportion to its count to this power (Kang et al. 2020,
            arXiv 1910.09217, eq. 1): 0 every class alike, 0.5 square root, 1 every row alike.
        seed: seed of the whole run.
    """

    def __init__(self, labels: Tensor, batch_size: int, power: float, seed: int) -> None:
        if len(labels) == 0:
            raise DataError("no images to draw batches from; check the split")
        self.batch_size = batch_size
        self.seed = seed
        counts = torch.bincount(labels).clamp(min=1).double()
        self._weights = (counts ** (power - 1))[labels]

    def rows(self, step: int) -> Tensor:
        """Return the row numbers [batch_size] of one step."""
        draw = generator(self.seed, "batch", step)
        return torch.multinomial(self._weights, self.batch_size, replacement=True, generator=draw)
