"""Reading of a run's results for the page: what is wrong with one is said in its place."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from tgn.data.made_from import UNVERIFIED, misfit
from tgn.data.runs import Run
from tgn.runtime.errors import TgnError
from tgn.runtime.explanations import explained
from tgn.runtime.files import read_model
from tgn.runtime.logs import Log, read_log

ModelT = TypeVar("ModelT", bound=BaseModel)
ResultT = TypeVar("ResultT")


class RunReader:
    """Reads the files of a run.

    Args:
        run: the run.

    Attributes:
        notes: part of the page -> what is wrong with what stands there, a sentence each.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.notes: dict[str, list[str]] = defaultdict(list)

    def model(self, part: str, path: Path, kind: type[ModelT]) -> ModelT | None:
        """Return the content of a JSON file; None if there is none, or it is damaged."""
        if not path.is_file():
            return None
        return self.attempt(part, lambda: read_model(path, kind))

    def attempt(self, part: str, read: Callable[[], ResultT]) -> ResultT | None:
        """Return what is read, or say in its place which file is damaged.

        Args:
            part: of the page.
            read: reads a file of the run.
        """
        try:
            return read()
        except (TgnError, OSError) as error:
            self.say(part, explained(error) or str(error))
            return None

    def log(self, part: str, path: Path) -> Log:
        """Return what can be read of a log."""
        log = read_log(path)
        self.say(part, log.damage)
        return log

    def fits(
        self, part: str, recorded: Mapping[str, str], remedy: str, folder: Path | None = None
    ) -> bool:
        """Return whether a result fits the run; where it does not, or nobody knows, say so.

        Args:
            part: of the page.
            recorded: what it was made from.
            remedy: the command that makes it anew.
            folder: of the generated images; None is the run's own.
        """
        other = misfit(self.run, recorded, remedy, folder)
        self.say(part, other if recorded else UNVERIFIED)
        return not other

    def say(self, part: str, text: str) -> None:
        """Add a note, unless it is empty."""
        if text:
            self.notes[part].append(text.replace(f"{self.run.path}/", ""))
