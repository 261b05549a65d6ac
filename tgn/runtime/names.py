"""Names of folders, and paths that stay below one: what comes from users and from files of others.

Every name that becomes a folder, and every path that a file lists, is checked here and nowhere
else. Models of files take :data:`InnerPath` as the type of their fields.
"""

import re
from typing import Annotated

import typer
from pydantic import AfterValidator

from tgn.runtime.errors import UserError

NEW_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,80}")
# Begins at a root or drive, has a part "..", or ends the name for the system: by the rules of POSIX
# and of Windows.
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:[/\\]|(.*[/\\])?\.\.([/\\]|$)|.*\0", re.DOTALL)


def folder_name(name: str, option: str) -> str:
    """Return the name that a user gives something new, which becomes a folder.

    Raises:
        UserError: naming the option.
    """
    if not NEW_NAME.fullmatch(name):
        raise UserError(
            f"{option} got {name!r}, expected at most 81 letters, digits, '-', '_', '+' and '.', a "
            "letter or digit first"
        )
    return name


def checked_option(_: typer.Context, option: typer.CallbackParam, value: str | None) -> str | None:
    """Check an option that names something new, before its verb begins (a callback of typer)."""
    return None if value is None else folder_name(value, option.opts[0])


def leads_outside(path: str) -> bool:
    """Return whether a path is not sure to stay below the folder to which it is relative."""
    return path in ("", ".") or OUTSIDE.match(path) is not None


def _inner(path: str) -> str:
    if leads_outside(path):
        raise ValueError("expected a relative path that stays inside its folder")
    return path


def _inner_or_none(path: str) -> str:
    return path and _inner(path)


InnerPath = Annotated[str, AfterValidator(_inner)]
OptionalInnerPath = Annotated[str, AfterValidator(_inner_or_none)]
"""The same, or "" for none."""
