"""Pages of HTML: self-contained, everything from outside is escaped."""

import base64
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_environment(*packages: str) -> Environment:
    """Return what renders the templates in some packages, and those in this one."""
    loaders = [PackageLoader(package, ".") for package in (*packages, "tgn.runtime")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"percent": percent, "number": number}
    return environment


def percent(value: float | None) -> str:
    """Return a share in [0, 1] as percent with one decimal, "–" for None."""
    return "–" if value is None else f"{100 * value:.1f}"


def number(value: Any) -> str:
    """Return a number with four significant digits; anything else as text, "–" for None."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Return a picture's bytes as a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
