"""The record that a folder of written data keeps: what it was made with, whether it is whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import read_json, write_json

SCENES, CHIPS = "scenes.json", "chips.json"


def claim(out: Path, record: str, settings: Mapping[str, Any]) -> None:
    """Makes sure that OUT is ours to write, and marks it as begun.

    Args:
        out: the folder.
        record: name of the file that says so.
        settings: what the content depends on, as JSON has it.

    Raises:
        UserError: if it holds anything else.
    """
    record_file = out / record
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, expected a folder: name another one")
    if record_file.exists():
        _check_record(record_file, settings)
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and is not of this command: name a new folder")
    write_json(record_file, {"complete": False, "settings": settings})
    for left_by_a_kill in out.rglob(".*.part"):
        left_by_a_kill.unlink()


def finish(out: Path, record: str, settings: Mapping[str, Any]) -> None:
    """Marks OUT as complete."""
    write_json(out / record, {"complete": True, "settings": settings})


def check_finished(folder: Path) -> None:
    """Refuse data whose writing was broken off.

    Raises:
        DataError: if a record says so.
    """
    for file in (folder / SCENES, folder / CHIPS):
        if file.is_file() and _is_begun(file):
            raise DataError(f"{folder} is not finished; run the command that writes it once more")


def _is_begun(file: Path) -> bool:
    try:
        told = read_json(file)
    except ValueError:  # somebody else's
        return False
    return isinstance(told, dict) and told.get("complete") is False


def _check_record(record_file: Path, wanted: Mapping[str, Any]) -> None:
    try:
        found = dict(read_json(record_file)["settings"])
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{record_file} is damaged: name a new folder, or delete this one"
        ) from None
    if found != wanted:
        changed = sorted(key for key in {*wanted, *found} if found.get(key) != wanted.get(key))
        raise UserError(
            f"{record_file.parent} was written with other settings ({', '.join(changed)} differ): "
            f"name a new folder, or take the settings in its {record_file.name}"
        )
