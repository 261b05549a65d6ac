"""The record that a folder of drawn data keeps of what it was made with."""

from pathlib import Path
from typing import Any

from tgn.core.config import Settings
from tgn.core.errors import UserError
from tgn.core.files import read_json, write_json

RECORD_NAME = "scenes.json"


def finish(out: Path, settings: Settings) -> None:
    """Marks OUT as complete."""
    write_json(out / RECORD_NAME, _record(settings, complete=True))


def _record(settings: Settings, complete: bool) -> dict[str, Any]:
    return {"complete": complete, "settings": settings.model_dump(mode="json")}


def claim(out: Path, settings: Settings) -> None:
    """Makes sure that OUT is ours to write, and marks it as begun.

    Raises:
        UserError: if it holds anything else.
    """
    record_file = out / RECORD_NAME
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, expected a folder: name another one")
    if record_file.exists():
        _check_record(record_file, settings)
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and was not written by scenes: name a new folder")
    write_json(record_file, _record(settings, complete=False))
    for left_by_a_kill in out.rglob(".*.part"):
        left_by_a_kill.unlink()


def _check_record(record_file: Path, settings: Settings) -> None:
    try:
        found = dict(read_json(record_file)["settings"])
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{record_file} is damaged: name a new folder, or delete this one"
        ) from None
    wanted = settings.model_dump(mode="json")
    if found != wanted:
        changed = sorted(key for key in wanted | found if found.get(key) != wanted.get(key))
        raise UserError(
            f"{record_file.parent} holds scenes of other settings ({', '.join(changed)} differ): "
            "name a new folder, or take the settings in its scenes.json"
        )
