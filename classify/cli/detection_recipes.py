"""Published recipes of detectors on the command line: their settings, and a table beside them."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from classify.cli.detectors import detector_file
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.recipes import compared_rows, find_recipe, with_recipe
from tgn.runtime.console import out
from tgn.runtime.errors import NotFoundError


def settings_by_recipe(given: Mapping[str, Any], recipe: str | None) -> DetectSettings:
    """Return the settings that were given, and those of a recipe for what was not."""
    return DetectSettings.joined(given) if recipe is None else with_recipe(given, recipe)


def teacher_by_recipe(teacher: str | None, recipe: str | None) -> str | None:
    """Return the teacher that was named, or the one that the recipe's teacher is called.

    Raises:
        NotFoundError: if the recipe learns from a teacher, none is named, and none was trained.
    """
    if teacher is not None or recipe is None or find_recipe(recipe).teacher is None:
        return teacher
    usual = find_recipe(recipe).teacher
    try:
        detector_file(usual)
    except NotFoundError as error:
        raise NotFoundError(
            f"recipe {recipe} learns from a teacher ({error}); train it with --recipe {usual}, or "
            "name another: --teacher"
        ) from None
    return usual


def show_recipe(recipe: str, settings: DetectSettings) -> None:
    """Show what is published beside what would be done."""
    table = Table("setting", "published", "here", title=f"recipe {recipe}")
    for key, published, own in compared_rows(recipe, settings):
        table.add_row(key, published, own if own == published else f"{own}  (changed)")
    out.print(table)
    found = find_recipe(recipe)
    for line in (f"data: {found.data}", *found.notes):
        out.print(line, markup=False)
