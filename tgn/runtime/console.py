"""How both commands speak: progress on stderr, results on stdout, errors in one line."""

import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from tgn.runtime.config import Settings
from tgn.runtime.errors import TgnError

WIDE = 160  # columns for tables that go to a file or a pipe

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigOption = Annotated[
    str | None, typer.Option("--config", help="YAML file of settings (key: value).")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, key=value; may be repeated.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
RunOption = Annotated[str | None, typer.Option("--run", help="Run name; default: the last run.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, show the plan, do nothing.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Continue a stopped job, or start anew.")
]

SettingsT = TypeVar("SettingsT", bound=Settings)


def settings_of(
    cls: type[SettingsT], config: str | None, set_: list[str] | None, **flags: Any
) -> SettingsT:
    """Return the settings of a verb from ``--config``, ``--set`` and its own options."""
    return cls.resolve(Path(config) if config else None, set_ or (), **flags)


def show_plan(settings: Settings, what: str) -> NoReturn:
    """Show what a dry run would do, and end."""
    out.print(f"would do: {what}\n{settings.explained()}", markup=False)
    raise typer.Exit


class TerminalProgress:
    """A moving bar on a terminal, a plain line now and then elsewhere (both on stderr)."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._title, self._total, self._done, self._shown_s = "", 0, 0, 0.0

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin a piece of work."""
        self.stop()
        self._title, self._total, self._done, self._shown_s = title, total, done, time.monotonic()
        if err.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = RichProgress(
                *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=err
            )
            self._bar.start()
            self._task = self._bar.add_task(title, total=total, completed=done, note="")

    def advance(self, units: int = 1, note: str = "") -> None:
        """Show that more is done."""
        self._done += units
        if self._bar:
            if note:
                self._bar.update(self._task, note=note)
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


def run_app(app: Callable[..., Any]) -> None:
    """Run a typer app; known errors become one line and exit 2, Ctrl-C 130, our bugs 1."""
    try:
        app(standalone_mode=False)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except TgnError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _fail("the disk is full; free some space and run the same command: it continues")
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # click's usage errors
            _fail(error.format_message())
        raise


def _fail(message: str) -> None:
    if "--debug" in sys.argv:
        raise
    err.print(f"error: {' '.join(message.split())}", markup=False, style="red")
    sys.exit(2)
