"""Verbs that measure and select generated images: score, filter."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from tgn.cli.use_table import use_table
from tgn.data.runs import Run, find_run
from tgn.runtime.command_options import CommonOptions, RunOption, settings_command, show_plan
from tgn.runtime.console import TerminalProgress, err, out
from tgn.runtime.errors import UserError
from tgn.scoring.settings import (
    FILTER_GRID,
    KEPT,
    FilterSettings,
    ScoreSettings,
    UseFilterSettings,
)

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from tgn.scoring.filter import FilterOutcome
    from tgn.scoring.results import Scores
    from tgn.scoring.use_verdict import UseVerdict

app = typer.Typer()

FolderArgument = Annotated[
    Path | None,
    typer.Argument(help="Images, with a manifest or in class folders; default: the run's."),
]
AgainstOption = Annotated[
    Path | None,
    typer.Option(help="Folder of real images to compare with, in place of a run's."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="JSON file to write; default: in the run, or FOLDER.scores.json beside FOLDER.",
    ),
]


@settings_command(app, "score", ScoreSettings)
def score_verb(
    common: CommonOptions,
    folder: FolderArgument = None,
    against: AgainstOption = None,
    out_file: OutOption = None,
    run: RunOption = None,
) -> None:
    """Measure generated images: their worth in real ones, likeness, novelty; also per class."""
    from tgn.scoring.score import score_folders, score_run

    settings = common.settings(ScoreSettings)
    if against is not None:
        folders = _two_folders(folder, against)
        if common.dry_run:
            show_plan(settings, f"scores of {folders[0]} against {against}")
        owner = find_run(run) if run else None
        scores, path = score_folders(folders, settings, TerminalProgress(), owner, out_file)
    else:
        found = find_run(run)
        _say_notes(folder or found.generated, found)
        if common.dry_run:
            show_plan(settings, f"scores of {folder or found.generated}")
        scores, path = score_run(found, settings, folder, TerminalProgress(), out_file)
    _show_scores(scores)
    for metric, remedy in scores.not_computed.items():
        out.print(f"not computed: {metric}: {remedy}", markup=False)
    out.print(f"all numbers, with how they were made: {path}", markup=False)


def _show_scores(scores: "Scores") -> None:
    """Show the headline, the figures of all classes together, and a row for each class."""
    from tgn.scoring import tables

    out.print(scores.headline, markup=False, style="bold")
    trusted, fitted = tables.by_trust(scores)
    if trusted:
        _print(tables.SUMMARY_COLUMNS, tables.summary_rows(trusted))
    if fitted:
        out.print(tables.fitted_title(fitted), markup=False, style="red")
        _print(tables.SUMMARY_COLUMNS, tables.summary_rows(fitted))
    if scores.classes:
        _print(*tables.class_table(scores))
    if note := tables.pooled_note(scores):
        out.print(note, markup=False)
    out.print(tables.judges_line(scores), markup=False)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    out.print(table)


class By(StrEnum):
    """What a filter goes by."""

    QUALITY = "quality"
    USE = "use"


FILTERS: dict[str, type[FilterSettings]] = {By.QUALITY: FilterSettings, By.USE: UseFilterSettings}


def _filter_settings(options: Mapping[str, Any]) -> type[FilterSettings]:
    return FILTERS[options["by"]]


@settings_command(app, "filter", FilterSettings, choose=_filter_settings)
def filter_verb(
    common: CommonOptions,
    folder: FolderArgument = None,
    against: AgainstOption = None,
    by: Annotated[
        By, typer.Option(help="use: also drop classes whose images help no classifier.")
    ] = By.QUALITY,
    off: Annotated[bool, typer.Option("--off", help="Use all images again.")] = False,
    run: RunOption = None,
) -> None:
    """Keep generated images that look like their class and are neither copies nor duplicates.

    Nothing is deleted: a filtered manifest says which images score and classify use. Each --by has
    settings of its own: --by use --help-settings.
    """
    from tgn.scoring.filter import filter_folders, filter_run

    settings = common.settings(FILTERS[by])
    if off:
        _remove_filter(folder or find_run(run).generated)
        return
    if against is not None:
        folders = _two_folders(folder, against)
        if common.dry_run:
            show_plan(settings, f"filter of {folders[0]}, compared with {against}")
        owner = find_run(run) if run else None
        result, place = filter_folders(folders, settings, TerminalProgress(), owner)
    else:
        found = find_run(run)
        _say_notes(folder or found.generated, found)
        if common.dry_run:
            show_plan(settings, f"filter of {folder or found.generated}")
        result, place = filter_run(found, settings, folder, TerminalProgress())
    _show_filter(result)
    out.print(
        f"kept and dropped images: {place / FILTER_GRID}; all again: tgn filter {place} --off",
        markup=False,
    )


def _remove_filter(folder: Path) -> None:
    from tgn.scoring.filter import remove_filter

    there = remove_filter(folder)
    out.print(f"all images of {folder} are used" + ("" if there else "; there was no filter"))


def _show_filter(result: "FilterOutcome") -> None:
    """Show per class how many images are kept, and why others are not."""
    counts = result.counts()
    reasons = sorted({reason for row in counts.values() for reason in row} - {KEPT})
    table = Table("class", "images", KEPT, *reasons)
    for name, row in counts.items():
        images = sum(1 for entry in result.rows if entry.folder == name)
        table.add_row(
            name or "all", str(images), *(str(row[column]) for column in (KEPT, *reasons))
        )
    out.print(table)
    for criterion, remedy in result.skipped.items():
        out.print(f"not applied: {criterion}: {remedy}", markup=False)
    if result.use:
        _show_use(result.use)


def _show_use(verdict: "UseVerdict") -> None:
    """Show what the images of each class are expected to bring, then the verdict."""
    if verdict.folders:
        out.print(use_table(verdict.report()))
    out.print(verdict.sentence, markup=False, style="bold")


def _say_notes(folder: Path, run: Run) -> None:
    from tgn.data.made_from import notes_on_images

    for note in notes_on_images(run, folder):
        err.print(f"note: {note}", markup=False)


def _two_folders(folder: Path | None, against: Path) -> tuple[Path, Path]:
    if folder is None:
        raise UserError("--against needs the folder to compare as well: FOLDER --against REAL")
    return folder, against
