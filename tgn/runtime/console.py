"""The terminal: results on stdout, progress on stderr, errors in one line, exit codes."""

import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from tgn.runtime.errors import SHOWN_PROBLEMS, UserError
from tgn.runtime.explanations import explained
from tgn.runtime.shown_text import for_terminal
from tgn.runtime.signals import stops_are_exceptions

WIDE = 160  # columns for tables that go to a file or a pipe


class PlainConsole(Console):
    """A console that shows text as it is: no markup, no codes of emoji, nothing to obey."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text with what a terminal would obey escaped; also of the cells of tables."""
        return super().render_str(for_terminal(text), **options)


out = PlainConsole(width=None if sys.stdout.isatty() else WIDE)
err = PlainConsole(stderr=True)


class TerminalProgress:
    """A moving bar on a terminal, a plain line now and then elsewhere (both on stderr)."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._title, self._total, self._done, self._shown_s = "", 0, 0, 0.0

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin a piece of work."""
        self.stop()
        title = for_terminal(title, lines=False)
        self._title, self._total, self._done, self._shown_s = title, total, done, time.monotonic()
        if err.is_terminal:
            said, note = (
                TextColumn(text, markup=False)
                for text in ("{task.description}", "{task.fields[note]}")
            )
            columns = (said, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note)
            self._bar = RichProgress(*columns, console=err)
            self._bar.start()
            self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def advance(self, units: int = 1, note: str = "") -> None:
        """Show that more is done."""
        self._done += units
        if self._bar:
            if note:
                self._bar.update(self._task, note=for_terminal(note, lines=False))
            self._bar.advance(self._task, units)
        elif self._done >= self._total or (note and time.monotonic() - self._shown_s > 10):
            self._shown_s = time.monotonic()
            err.print(f"{self._title} {self._done}/{self._total} {note}".rstrip(), markup=False)
        if self._done >= self._total:
            self.stop()

    def warn(self, text: str) -> None:
        """Show a warning."""
        err.print(f"warning: {text}", markup=False)

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar:
            self._bar.stop()
            self._bar = None


def show_left_out(problems: Sequence[str], all_of_them: bool, remedy: str) -> None:
    """Show on stderr what of the data is not used: all of it, or the first few and the number.

    Args:
        problems: one line each.
        all_of_them: whether no line is left out.
        remedy: how to see all.
    """
    shown = problems if all_of_them else problems[:SHOWN_PROBLEMS]
    for problem in shown:
        err.print(f"left out: {problem}", markup=False)
    if len(problems) > len(shown):
        err.print(f"... {len(problems)} left out in all; {remedy}", markup=False)


def run_app(app: Callable[..., Any]) -> None:
    """Run a typer app and exit: what a user can cause is one line and 2, our bugs are 1.

    Ctrl-C ends with 130, SIGTERM with 143.
    """
    _show_any_name()
    with stops_are_exceptions(), _threads_in_words():
        try:
            _refuse_empty(sys.argv)
            sys.exit(app(standalone_mode=False))  # the code of typer.Exit, None after a verb's end
        except typer.Exit as end:
            sys.exit(end.exit_code)
        except (typer.Abort, KeyboardInterrupt):
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            _fail(error)


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty word: as a path it would be this folder, which nobody meant.

    It is what a shell makes of "$UNSET".
    """
    for before, word in pairwise(words):
        option, equals, value = word.partition("=")
        of_option = option.startswith("--") and equals and not value
        if not word or of_option:
            what = option if of_option else before if before.startswith("-") else "an argument"
            raise UserError(f"{what} got '', expected a value; give one, or leave it out")


def _fail(error: Exception) -> NoReturn:
    """Show an error in one line and exit with 2; raise it again if it is a bug of ours."""
    of_usage = getattr(error, "format_message", None)  # click's errors
    message = of_usage() if of_usage else explained(error)
    if message is None:
        raise error
    err.print(f"error: {' '.join(message.split())}", markup=False, style="red")
    sys.exit(2)


@contextmanager
def _threads_in_words() -> Iterator[None]:
    """Warn in a line of what goes wrong in a library's thread, as TensorBoard's on a full disk."""
    before = threading.excepthook

    def warn(ended: threading.ExceptHookArgs) -> None:
        message = explained(ended.exc_value) if ended.exc_value is not None else None
        if message is None:
            before(ended)
        else:
            err.print(f"warning: {message}", markup=False)

    threading.excepthook = warn
    try:
        yield
    finally:
        threading.excepthook = before


def _show_any_name() -> None:
    """Let file names that are not UTF-8 through, as the bytes that they are."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
