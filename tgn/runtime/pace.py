"""How long the rest of a long piece of work will take, from the pace of its first units."""

import time
from collections.abc import Callable

from tgn.runtime.progress import Progress

WORTH_SAYING_S = 60.0  # a shorter rest needs no words


class Pace:
    """Says once how long the rest will take.

    Args:
        progress: is told.
        unit: what is counted, in the plural.
        timed: units that are timed before it speaks, >= 1.
        wait: called before the clock is read, e.g. to wait for a GPU.
    """

    def __init__(
        self,
        progress: Progress,
        unit: str,
        timed: int = 1,
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        self.progress, self.unit, self.timed, self.wait = progress, unit, timed, wait
        self._start: tuple[int, float] | None = None
        self._has_spoken = False

    def reached(self, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` units are done; the first call starts the clock."""
        if self._has_spoken or (self._start and done - self._start[0] < self.timed):
            return
        self.wait()
        now = time.monotonic()
        if self._start is None:
            self._start = done, now
            return
        self._has_spoken = True
        first, start_s = self._start
        rest_s = (now - start_s) / (done - first) * (total - done)
        if rest_s > WORTH_SAYING_S:
            self.progress.warn(
                f"the {total - done} {self.unit} left take about {in_words(rest_s)}, by the pace "
                f"of the first {done - first}"
            )


def in_words(seconds: float) -> str:
    """Return a time in minutes, or in hours from one hour on."""
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(round(seconds / 60), 1)} minutes"
