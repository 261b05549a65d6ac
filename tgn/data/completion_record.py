"""The record in a folder of written data: its settings, and whether writing was completed."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tgn.runtime.errors import DamagedError, DataError, UserError
from tgn.runtime.files import read_json, write_json

SCENES, CHIPS, PAIRS = "scenes.json", "chips.json", "pairs.json"


def begin_writing(
    out: Path,
    record: str,
    settings: Mapping[str, Any],
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Make sure that OUT is ours to write, and mark it as begun.

    Args:
        out: the folder.
        record: name of the file that says so.
        settings: what the content depends on, as JSON has it.
        renamed: former name of a setting -> its name today, for records of older versions.

    Raises:
        UserError: if it holds anything else.
    """
    record_file = out / record
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, expected a folder: name another one")
    if record_file.exists():
        _check_record(record_file, settings, renamed)
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and is not of this command: name a new folder")
    write_json(record_file, {"complete": False, "settings": settings})
    for left_by_a_kill in out.rglob(".*.part"):
        left_by_a_kill.unlink()


def finish_writing(out: Path, record: str, settings: Mapping[str, Any]) -> None:
    """Mark OUT as complete."""
    write_json(out / record, {"complete": True, "settings": settings})


def check_complete(folder: Path) -> None:
    """Refuse data that was not written to its end.

    Raises:
        DataError: if a record says so.
    """
    for file in (one for record in (SCENES, CHIPS, PAIRS) for one in _records(folder, record)):
        if _is_begun(file):
            raise DataError(
                f"{file.parent} is not finished; run the command that writes it once more"
            )


def has_record(folder: Path, record: str) -> bool:
    """Return whether a command wrote the folder, or parts that lie in it (``tgn chips --part``)."""
    return bool(_records(folder, record))


def _records(folder: Path, record: str) -> list[Path]:
    files = (folder / record, *sorted(folder.glob(f"*/{record}")))
    return [file for file in files if file.is_file()]


def _is_begun(file: Path) -> bool:
    try:
        record = read_json(file)
    except DamagedError:
        raise
    except ValueError:  # somebody else's
        return False
    return isinstance(record, dict) and record.get("complete") is False


def _check_record(record_file: Path, wanted: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
    try:
        recorded = dict(read_json(record_file)["settings"])
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{record_file} is damaged: name a new folder, or delete this one"
        ) from None
    found = {renamed.get(key, key): value for key, value in recorded.items()}
    if found != wanted:
        changed = sorted(key for key in {*wanted, *found} if found.get(key) != wanted.get(key))
        raise UserError(
            f"{record_file.parent} was written with other settings ({', '.join(changed)} differ): "
            f"name a new folder, or take the settings in its {record_file.name}"
        )
