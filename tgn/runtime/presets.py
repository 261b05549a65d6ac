"""Settings that come with the packages under a name: ``--config paper``."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from tgn.runtime.config import Settings
from tgn.runtime.errors import UserError
from tgn.runtime.yaml_text import parse_yaml

COMMANDS = "commands"  # entry of a preset: what it is for, in words


def preset_values(cls: type[Settings], name: str) -> Mapping[str, Any] | None:
    """Return the values of a preset, ``presets/<name>.yaml`` of the package of the settings.

    Args:
        cls: class of the settings, by whose name the file has their values.
        name: of the preset.

    Returns:
        Setting -> value; None if there is no such preset.

    Raises:
        UserError: if the preset has nothing for these settings.
    """
    folders = [files(package) / "presets" for package in (cls.__module__.split(".")[0], "tgn")]
    found = [file for folder in folders if (file := folder / f"{name}.yaml").is_file()]
    if not name.isidentifier() or not found:
        return None
    known = parse_yaml(found[0].read_text(encoding="utf-8"))
    if cls.__name__ not in known:
        raise UserError(
            f"--config {name} has nothing for this command; it is for {known[COMMANDS]}"
        )
    values: Mapping[str, Any] = known[cls.__name__]
    return values
