"""Settings: one frozen, typed object a verb, read from a file and ``--set key=value``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tgn.core.errors import NotFoundError, UserError


class Settings(BaseModel):
    """Base of every settings object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def resolve(cls, file: Path | None = None, overrides: Sequence[str] = (), **flags: Any) -> Self:
        """Join defaults < ``file`` < ``overrides`` ("key=value") < ``flags`` that are not None.

        Raises:
            UserError: naming the key, what was got and the valid keys.
        """
        values = _read_yaml(file) if file else {}
        values |= dict(_parse_override(text) for text in overrides)
        values |= {key: value for key, value in flags.items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UserError(_explain(error, cls)) from None

    @classmethod
    def help_text(cls) -> str:
        """Return the keys and defaults that ``--set`` takes, for ``--help``."""
        keys = (f"{name}={field.get_default()}" for name, field in cls.model_fields.items())
        return f"Settings for --set and --config (--dry-run explains them): {', '.join(keys)}"

    def explained(self) -> str:
        """Return the resolved settings as YAML, each with its meaning as a comment."""
        lines = []
        for name, value in self.model_dump(mode="json").items():
            meaning = type(self).model_fields[name].description
            shown = f"{name}: {json.dumps(value, ensure_ascii=False)}"  # JSON is YAML too
            lines.append(f"{shown}  # {meaning}" if meaning else shown)
        return "\n".join(lines)


def _read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise NotFoundError(f"no settings file {file}; give --config an existing YAML file")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file} holds a {type(values).__name__}, expected lines 'key: value'")
    return values


def _parse_override(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set got {text!r}, expected key=value, e.g. --set steps=500")
    return key.strip(), yaml.safe_load(value)


def _explain(error: ValidationError, cls: type[BaseModel]) -> str:
    parts = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            parts.append(f"unknown setting {key!r}; valid: {', '.join(cls.model_fields)}")
        else:
            parts.append(f"setting {key}: got {problem['input']!r}: {problem['msg']}")
    return "; ".join(parts)
