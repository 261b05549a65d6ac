"""Settings: one frozen, typed object a verb, read from a file and ``--set key=value``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.text_files import read_yaml
from tgn.runtime.yaml_text import parse_yaml

LONGEST_SHOWN = 200  # characters of a value in a message
DEEPEST = 4  # groups within groups


class Settings(BaseModel):
    """Base of every settings object: frozen, and an unknown key is an error.

    Attributes:
        renamed: former name of a setting or group -> its name today. Users who give a former name
            are told the new one; files that hold it are read by :meth:`with_new_names`.
    """

    # All settings would be printed where some do not fit together.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )
    renamed: ClassVar[Mapping[str, str]] = {}

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true for 1 and false for 0, for which Python takes them."""
        if isinstance(value, bool) and is_number(cls.model_fields[str(info.field_name)]):
            raise ValueError("expected a number")
        return value

    @classmethod
    def resolve(cls, file: Path | None = None, overrides: Sequence[str] = (), **flags: Any) -> Self:
        """Join defaults < ``file`` < ``overrides`` ("key=value") < ``flags`` that are not None.

        Raises:
            UserError: naming the key, what was got and the valid keys.
        """
        return cls.joined(given_values(file, overrides, **flags))

    @classmethod
    def joined(cls, *layers: Mapping[str, Any]) -> Self:
        """Join settings, groups setting by setting; they are validated together, not before.

        Args:
            layers: setting -> value, a group as a mapping of its own; the later one wins.

        Raises:
            UserError: naming the key, what was got and the valid keys; or if the settings do not
                fit together.
        """
        values: dict[str, Any] = {}
        for layer in layers:
            values = _merged(values, layer)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UserError(_explain(error, cls)) from None

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """Return the settings with some replaced, validated again; defaults stay defaults.

        Args:
            changes: setting -> value; of a group, only the settings in it that change.

        Raises:
            UserError: if they do not fit together.
        """
        return self.joined(self.given, changes)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given a value, as :meth:`joined` takes them."""
        return self.model_dump(exclude_unset=True)

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings (of a file written by an older version) under today's names.

        Args:
            values: setting -> value, groups as mappings of their own.
        """
        inner = {name: _settings_class(cls, name) for name in cls.model_fields}
        found = {cls.renamed.get(name, name): value for name, value in values.items()}
        return {
            name: group.with_new_names(value)
            if (group := inner.get(name)) is not None and isinstance(value, dict)
            else value
            for name, value in found.items()
        }

    def explained(self) -> str:
        """Return the resolved settings as YAML, each with its meaning as a comment."""
        return "\n".join(_lines(self))


def given_values(
    base: Path | Mapping[str, Any] | None = None, overrides: Sequence[str] = (), **flags: Any
) -> dict[str, Any]:
    """Return what was given: ``base`` < ``overrides`` ("key=value") < ``flags`` that are not None.

    Args:
        base: a YAML file, or values.
        overrides: ``key=value``; a key may be ``group.name``.
        flags: setting -> value.

    Raises:
        UserError: for a file or override that cannot be read; keys and values are not checked.
    """
    values = _read_yaml(base) if isinstance(base, Path) else dict(base or {})
    for key, value in (_parse_override(text) for text in overrides):
        _put(values, key, value)
    return values | {key: value for key, value in flags.items() if value is not None}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings as one, nested ones likewise; ``above`` wins."""
    within = {
        name: _merged(below[name], value)
        for name, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
    }
    return {**below, **above, **within}


def _lines(settings: Settings, indent: str = "") -> Iterator[str]:
    """Yield lines of YAML; a group of settings is a mapping of its own."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        meaning = f"  # {field.description}" if field.description else ""
        if isinstance(value, Settings):
            yield f"{indent}{name}:{meaning}"
            yield from _lines(value, indent + "  ")
        else:
            plain = settings.model_dump(mode="json", include={name})[name]
            shown = json.dumps(plain, ensure_ascii=False)  # JSON is YAML too
            yield f"{indent}{name}: {shown}{meaning}"


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set ``group.name`` in nested mappings."""
    *groups, name = key.split(".")
    for group in groups:
        found = values.get(group)
        values[group] = inner = dict(found) if isinstance(found, dict) else {}
        values = inner
    values[name] = value


def _read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise NotFoundError(
            f"no settings file {file}; give --config an existing YAML file, or paper"
        )
    values = read_yaml(file) or {}
    if not isinstance(values, dict):
        raise UserError(f"{file} holds a {type(values).__name__}, expected lines 'key: value'")
    return values


def _parse_override(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key.strip() or key.count(".") > DEEPEST:
        raise UserError(f"--set got {_shown(text)}, expected key=value, e.g. --set steps=500")
    try:
        return key.strip(), parse_yaml(value)
    except yaml.YAMLError:
        raise UserError(f"--set got {_shown(text)}, whose value is not YAML; quote it") from None


def _explain(error: ValidationError, cls: type[Settings]) -> str:
    parts = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            parts.append(_explain_unknown(key, problem["loc"], cls))
        elif problem["type"] != "default_factory_not_called":  # another setting is at fault
            parts.append(_explain_value(key, problem))
    return "; ".join(parts)


def _explain_value(key: str, problem: ErrorDetails) -> str:
    got, what = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "model_type":
        return f"{key} is a group of settings: got {key}={_shown(got)}, expected {key}.NAME=VALUE"
    if not isinstance(got, Mapping):
        return f"setting {key}: got {_shown(got)}: {what}"
    if problem["type"] in ("value_error", "assertion_error"):  # of settings together
        return f"{key}: {what}" if key else what
    names = ", ".join(f"{key}.{name}" for name in got)
    return f"setting {key} has no settings of its own: got {names}; {what}"


def is_number(field: FieldInfo) -> bool:
    """Return whether a setting is a number, one or nothing, or several."""
    kinds = [field.annotation, *get_args(field.annotation)]
    bare = {get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds}
    return bool({int, float} & bare)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _explain_unknown(key: str, path: Sequence[int | str], cls: type[Settings]) -> str:
    """Say the new name of a renamed setting, else which settings there are."""
    *groups, name = (str(part) for part in path)
    owner: type[Settings] | None = cls
    for group in groups:
        owner = owner and _settings_class(owner, group)
    if owner and name in owner.renamed:
        return f"setting {key!r} is now called {'.'.join([*groups, owner.renamed[name]])!r}"
    valid = ", ".join(".".join([*groups, known]) for known in (owner or cls).model_fields)
    return f"unknown setting {key!r}; valid: {valid}"


def _settings_class(cls: type[Settings], name: str) -> type[Settings] | None:
    """Return the class of a group of settings, or None for a single setting."""
    annotation = cls.model_fields[name].annotation
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return None
