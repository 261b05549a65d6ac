"""The settings of a verb as rows of a table: name, default, allowed values, meaning."""

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from rich import box
from rich.table import Table
from rich.text import Text

from tgn.runtime.config import Settings

_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
_TYPE_NAMES = {"str": "text", "int": "integer", "float": "number", "bool": "true, false"}


class SettingRow(NamedTuple):
    """One setting."""

    name: str  # as ``--set`` takes it: settings of a group are group.name
    default: str
    values: str  # type or choices, and range
    meaning: str


def setting_rows(settings: Settings, prefix: str = "") -> Iterator[SettingRow]:
    """Yield a row for every single setting; the values of ``settings`` are the defaults shown."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from setting_rows(value, f"{prefix}{name}.")
        else:
            plain = settings.model_dump(mode="json", include={name})[name]
            default = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
            yield SettingRow(prefix + name, default, _values(field), field.description or "")


def settings_table(cls: type[Settings]) -> Table:
    """Return the settings of a class as a table for the terminal, under the class's summary."""
    summary = (cls.__doc__ or "").partition("\n")[0].replace("`", "")
    table = Table(
        *SettingRow._fields,
        title=Text(summary),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for row in setting_rows(cls()):
        table.add_row(*map(Text, row))
    return table


def _values(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(rule, key)}"
        for rule in bounds_of(field)
        for key, sign in _BOUNDS.items()
        if getattr(rule, key, None) is not None
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


def bounds_of(field: FieldInfo) -> Iterator[Any]:
    """Yield the bounds of a setting, also those within ``X | None`` and of each of several."""
    yield from field.metadata
    for kind in get_args(field.annotation):
        for info in getattr(kind, "__metadata__", ()):
            yield from info.metadata


def _type_name(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return ", ".join(map(str, inner))
    if origin in (Union, UnionType):
        names = [_type_name(one) for one in inner if one is not NoneType]
        return " or ".join([*names, *["null"] * (NoneType in inner)])
    if origin in (tuple, list):
        return f"list of {_type_name(inner[0])}"
    name = getattr(kind, "__name__", str(kind))
    return _TYPE_NAMES.get(name, name.lower())
