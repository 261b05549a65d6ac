"""The verb that judges a data set before anything is trained: assess."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tgn.assess.settings import AssessSettings
from tgn.cli.use_table import use_table
from tgn.data.runs import find_run, runs_root
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.command_options import (
    OF_THE_RUN,
    CommonOptions,
    RunOption,
    settings_command,
    show_plan,
)
from tgn.runtime.console import TerminalProgress, out
from tgn.runtime.errors import UserError
from tgn.runtime.names import folder_name

if TYPE_CHECKING:  # --help must not wait for what needs torch
    from tgn.data.runs import Run

app = typer.Typer()


@settings_command(app, "assess", AssessSettings)
def assess_verb(
    common: CommonOptions,
    data: Annotated[
        Path | None,
        typer.Argument(help="Folder or .zip, split as tgn split does; default: the run's images."),
    ] = None,
    run: RunOption = None,
    generated: Annotated[
        str | None,
        typer.Option("--generated", help="Judge generated images too: the run's, or a folder's."),
    ] = None,
) -> None:
    """Say what would help, before anything is trained: collect, relabel, balance, or stop.

    Duplicates, doubtful labels, outliers, the accuracy of quick classifiers, and what more images
    of the rare classes would be worth: one page and one JSON. With DATA a run is made first.
    """
    from tgn.assess.assess import assess_run, check_counts

    settings = common.settings(AssessSettings)
    if data is not None and generated == OF_THE_RUN:
        raise UserError(
            "--generated got no folder and a new run, which has no generated images; name a "
            "folder, or leave DATA out"
        )
    if data is not None and common.dry_run:
        name = _plan(data, run)
        show_plan(settings, f"split of {data} into run {name!r}, and its assessment")
    found = find_run(run) if data is None else _split(data, run)
    check_counts(found.split())
    folder = None if generated is None else _folder(found, generated)
    if common.dry_run:
        show_plan(settings, f"{found.assessment_page} and {found.assessment_file}")
    _show(assess_run(found, settings, TerminalProgress(), folder))
    out.print(f"page: {found.assessment_page}; numbers: {found.assessment_file}", markup=False)


def _folder(run: "Run", given: str) -> Path:
    from tgn.assess.generated import check_generated

    folder = run.generated if given == OF_THE_RUN else Path(given)
    check_generated(run, folder)
    return folder


def _split(data: Path, name: str | None) -> "Run":
    """Make a run of a data folder or zip with the default split, and say so."""
    from tgn.data.splits.make_split import split_run

    name = _new_name(data, name)
    made, _ = split_run(data, name, SplitSettings(), TerminalProgress())
    out.print(f"split {data} into run {name!r} in {made.path} (as tgn split does)", markup=False)
    return made


def _plan(data: Path, name: str | None) -> str:
    """Check all that can be checked without making the run; return its name."""
    from tgn.assess.assess import check_counts
    from tgn.data.splits.make_split import plan_split

    name = _new_name(data, name)
    check_counts(plan_split(data, SplitSettings(), TerminalProgress()))
    return name


def _new_name(data: Path, name: str | None) -> str:
    """Return the name given, or that of the folder or zip; refuse one that is taken."""
    source = data.resolve()
    name = name or (source.stem if source.suffix.lower() == ".zip" else source.name)
    folder_name(name, "--run")
    if (runs_root() / name / "run.yaml").is_file():
        raise UserError(
            f"run {name!r} exists already; assess it with: tgn assess --run {name}, or name a new "
            "one: --run NAME"
        )
    return name


def _show(result: dict[str, Any]) -> None:
    """Show the accuracy of the best recipe, the worth of more images, and the advice."""
    table = Table("what", "found")
    _add_accuracies(table, result)
    for one in result["learning_curve"]["more_images"].values():
        text = f"{100 * one['gain']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
        table.add_row(f"rare classes with {one['factor']} times their images, points", text)
    for what in ("exact_duplicates", "near_duplicates"):
        entry = result[what]
        across = f"{entry['pairs']} pairs, {entry['across_train_and_test']} across train and test"
        table.add_row(what.replace("_", " "), across)
    for what in ("doubtful_labels", "outliers"):
        table.add_row(what.replace("_", " "), f"{result[what]['images']} images")
    out.print(table)
    if result["generated"]:
        out.print(use_table(result["generated"]))
    out.print(result["advice"]["sentence"], markup=False)


def _add_accuracies(table: Table, result: dict[str, Any]) -> None:
    """Add the accuracy of the best recipe, and of CLIP where one was given."""
    shown = {result["best_recipe"]: result["best_recipe"]} | {
        name: f"{name} ({parts['note'].partition(':')[0]})"
        for name, parts in result["accuracy"].items()
        if "note" in parts
    }
    for name, title in shown.items():
        for group in ("balanced", "head", "tail"):
            entry = result["accuracy"][name]["left_out"][group]
            if entry["accuracy"] is not None:
                span = f"{100 * entry['low']:.1f} to {100 * entry['high']:.1f}"
                text = f"{100 * entry['accuracy']:.1f}% ({span})"
                table.add_row(f"accuracy, {group}, {title}", text)
