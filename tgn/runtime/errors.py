"""The errors a user can cause; a command turns each into one line and exit code 2."""

from collections.abc import Sequence
from pathlib import Path

SHOWN_PROBLEMS = 10


class TgnError(Exception):
    """Anything the toolkit raises on purpose. The message says: got, expected, what to do."""


class UserError(TgnError, ValueError):
    """A wrong setting, argument or file."""


class DataError(UserError):
    """A data set that cannot be used as it is."""


class ListedProblemsError(DataError):
    """Many things that are wrong in one file or folder; the message has the first ten."""

    def __init__(self, what: str, problems: Sequence[str], file: Path | None = None) -> None:
        self.what, self.problems = what, tuple(problems)
        rest = len(problems) - SHOWN_PROBLEMS
        more = f"; {rest} more" if rest > 0 else ""
        if more and file is not None:
            more += f", all are in {file}"
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        super().__init__(f"{what}: {count}{'; '.join(problems[:SHOWN_PROBLEMS])}{more}")


class NotFoundError(UserError, FileNotFoundError):
    """A run, folder, checkpoint or weight file that is not where it should be."""


class DivergedError(TgnError, ArithmeticError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class LostProcessError(TgnError):
    """Another process of the job is gone."""


class DamagedError(DataError):
    """A file of ours is not what was written."""
