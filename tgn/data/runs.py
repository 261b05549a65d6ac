"""Run directories: where the stages of one experiment meet."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tgn.data.run_layout import RunLayout
from tgn.data.split import Split, read_split
from tgn.runtime.config import Settings
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.files import write_text
from tgn.runtime.locks import exclusive_writer
from tgn.runtime.names import folder_name
from tgn.runtime.seals import sealed, unsealed
from tgn.runtime.text_files import read_yaml
from tgn.runtime.yaml_text import format_yaml

RECORDED_PACKAGES = ("torch", "torchvision", "timm", "open_clip_torch", "numpy", "scipy")


def runs_root() -> Path:
    """Return the folder of all runs: ``$TGN_RUNS``, else ``checkpoints`` in this folder."""
    return Path(os.environ.get("TGN_RUNS") or "checkpoints")


@dataclass(frozen=True)
class Run(RunLayout):
    """One run directory."""

    @property
    def name(self) -> str:
        """The run's name, also the name of its folder."""
        return self.path.name

    def split(self) -> Split:
        """Return the class order and the parts of the data."""
        return read_split(self.split_file)

    def record(self, verb: str, settings: Settings, **facts: Any) -> None:
        """Write ``<verb>.yaml``: resolved settings, versions and facts, before work begins."""
        entry = {
            "verb": verb,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": settings.model_dump(mode="json"),
            "versions": {name: version(name) for name in RECORDED_PACKAGES},
            "python": platform.python_version(),
            **facts,
        }
        write_text(self.path / f"{verb}.yaml", format_yaml(sealed(entry)))

    def recorded(self, verb: str) -> dict[str, Any] | None:
        """Return what :meth:`record` wrote for a verb, or None.

        Raises:
            DataError: if the file holds anything else.
        """
        path = self.path / f"{verb}.yaml"
        if not path.is_file():
            return None
        with content_of(path):
            found = unsealed(dict(read_yaml(path)))
            if not all(isinstance(found[group], dict) for group in ("settings", "versions")):
                raise TypeError("no record of settings and versions")
        return found


@contextmanager
def new_run(name: str) -> Iterator[Run]:
    """Make a run directory that no other process writes until the block ends.

    Raises:
        UserError: for a name that is no plain folder name, or is taken, be it by a command that
            makes a run of this name at the moment.
    """
    run = Run(runs_root() / folder_name(name, "--run"))
    _require_free(run)  # without touching its folder
    with exclusive_writer(run.path):
        _require_free(run)  # the process that was waited for may have made it
        yield run


def _require_free(run: Run) -> None:
    if run.record_file.exists():
        raise UserError(
            f"run {run.name!r} exists in {run.path}; choose another --run NAME or delete it"
        )


def find_run(run: str | Path | None = None) -> Run:
    """Return a run by its name below the folder of runs, by its path, or the one made last.

    Raises:
        NotFoundError: when there is none, with the ones that exist.
    """
    path = Path(run) if run is not None else None
    if path is not None and Run(path).record_file.is_file():
        return Run(path)
    if path is not None and (isinstance(run, Path) or len(path.parts) > 1):
        raise NotFoundError(f"no run in {path}: expected a folder that tgn split made")
    name = None if run is None else str(run)
    marker = Run(runs_root()).record_file.name
    return Run(find_named(runs_root(), marker, name, "run", "tgn split DATA").parent)


def find_named(folder: Path, marker: str, name: str | None, what: str, remedy: str) -> Path:
    """Return ``folder/<name>/<marker>``; without a name the one that was written last.

    Args:
        folder: of what is looked for, a folder each.
        marker: the file that every such folder has.
        name: of the folder, or None.
        what: is looked for, for messages.
        remedy: the command that makes one.

    Raises:
        NotFoundError: if there is none of that name, with the names that exist.
    """
    found = {path.parent.name: path for path in folder.glob(f"*/{marker}")}
    if not found:
        called = "" if name is None else f" {name!r}"
        raise NotFoundError(
            f"no {what}{called} in {folder}, which has none; make one with: {remedy}"
        )
    if name is None:
        return max(found.values(), key=lambda path: path.stat().st_mtime_ns)
    if name not in found:
        known = ", ".join(sorted(found))
        raise NotFoundError(f"no {what} {name!r} in {folder}; there are: {known}")
    return found[name]


def file_or_named(given: str, folder: Path, marker: str, what: str, remedy: str) -> Path:
    """Return the file ``given``, or else ``folder/<given>/<marker>``.

    Raises:
        NotFoundError: as :func:`find_named`.
    """
    file = Path(given)
    return file if file.is_file() else find_named(folder, marker, given, what, remedy)
