"""What the verbs share: options that name classifiers and images, and tables of results."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from classify.training.layout import CHECKPOINT
from tgn.data.runs import Run, file_or_named, find_named
from tgn.runtime.command_options import OF_THE_RUN
from tgn.runtime.console import err, out
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.names import checked_option

GROUPS = ("overall", "balanced", "head", "tail", "macro_f1", "many", "medium", "few")

AugmentedOption = Annotated[
    str | None,
    typer.Option("--augmented", help="Also generated images: the run's, or those in a folder."),
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Name of the classifier.", callback=checked_option)
]
TeacherOption = Annotated[
    str | None, typer.Option("--teacher", help="Teacher: name or file of a classifier.")
]


def augmented_folder(run: Run, given: str | None) -> Path | None:
    """Return the folder of generated images that --augmented means, None without it.

    What is assumed of the names of its class folders is said.

    Raises:
        NotFoundError: if it holds no images.
        UserError: for a class folder that is no class of the run.
    """
    from tgn.data.manifest import active_rows

    if given is None:
        return None
    folder = run.generated if given == OF_THE_RUN else Path(given)
    require_some_kept(folder)
    if not any(active_rows(folder, run.split())):
        raise NotFoundError(f"no images in {folder}; make them with: tgn generate --class all")
    say_class_folders(folder, run)
    return folder


def require_some_kept(folder: Path) -> None:
    """Refuse a folder of which a filter has kept no image.

    Raises:
        UserError: see above.
    """
    from tgn.data.manifest import FILTERED

    filtered = folder / FILTERED
    if filtered.is_file() and filtered.stat().st_size == 0:
        raise UserError(
            f"tgn filter has kept no image of {folder}: train on real images alone, without "
            "--augmented and recipes with +generated, or use all images again: "
            f"tgn filter {folder} --off"
        )


def say_class_folders(folder: Path, run: Run) -> None:
    """Say what is assumed of the names of class folders, and whether another generator drew."""
    from tgn.data.made_from import notes_on_images

    for note in notes_on_images(run, folder):
        err.print(f"note: {note}", markup=False)


def classifier_folder(run: Run, name: str | None) -> Path:
    """Return the folder of the classifier ``name``, else of the one trained last."""
    return find_named(run.classifiers, CHECKPOINT, name, "classifier", "classify train").parent


def teacher_file(run: Run, given: str | None) -> Path | None:
    """Return the file of the classifier that --teacher names."""
    if given is None:
        return None
    return file_or_named(given, run.classifiers, CHECKPOINT, "classifier", "classify train")


def show_result(result: dict[str, Any]) -> None:
    """Show overall and group accuracies of an evaluation."""
    table = Table(*(group.replace("_", " ") for group in GROUPS))
    table.add_row(*(percent(result[group]) for group in GROUPS))
    out.print(table)
    limits = result["thresholds"]
    out.print(
        f"percent on {result['n']} real test images; groups are class means; many: over "
        f"{limits['many_over']} training images, few: under {limits['few_under']}"
    )


def percent(value: float | None) -> str:
    """Return a share as a percentage with one digit, "-" for none."""
    return "-" if value is None else f"{100 * value:.1f}"
