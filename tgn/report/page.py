"""Rendering of the report page."""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tgn.data.runs import Run
from tgn.report.contents import collect_contents
from tgn.runtime.files import write_text


def write_report(run: Run) -> Path:
    """Write ``report.html`` of a run: one file without scripts or references to other files.

    Returns:
        The path of the page.
    """
    page = page_environment().get_template("report.html.j2").render(collect_contents(run))
    path = run.report_file
    write_text(path, page)
    return path


def page_environment(*packages: str) -> Environment:
    """Return what renders the templates in some packages, which may use those in this one."""
    loaders = [PackageLoader(package, ".") for package in (*packages, "tgn.report")]
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
