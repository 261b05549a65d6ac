"""Progress of long work; the command decides how it is shown."""

from typing import Protocol


class Progress(Protocol):
    """Shown while a stage works; every method may be called from one process only."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin ``total`` units of work, of which ``done`` were finished before."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say that ``units`` more are done; ``note`` is a short state, e.g. a loss."""

    def warn(self, text: str) -> None:
        """Show a line that must not be overlooked."""


class Silent:
    """Shows nothing: for tests, and for all but the main process of a launch."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Do nothing."""

    def warn(self, text: str) -> None:
        """Do nothing."""
