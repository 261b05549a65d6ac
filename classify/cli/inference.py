"""Verbs that use trained classifiers: evaluate, predict."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from classify.cli.classifiers import NameOption, classifier_folder, percent, show_result
from classify.training.layout import CHECKPOINT, CONFUSION_PICTURE, RELIABILITY_PICTURE
from tgn.data.runs import find_run
from tgn.runtime.command_options import DeviceOption, RunOption
from tgn.runtime.console import err, out
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import write_json
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.shown_text import for_terminal

if TYPE_CHECKING:  # it needs torch, for which --help must not wait
    from classify.evaluation.predict import Prediction

app = typer.Typer()
LONGEST_PATH = 1 << 15  # characters; systems take less
CapsOption = Annotated[
    str | None,
    typer.Option(
        "--class-caps",
        metavar="CLASS=N,...",
        help="Predict a class at most N times. Uses the prior of the test set.",
    ),
]


@app.command("evaluate")
def evaluate_verb(
    name: NameOption = None,
    assume_balanced_test: Annotated[
        bool,
        typer.Option(
            help="Also: predict every class equally often. Uses the prior of the test set, which "
            "a classifier in use does not know."
        ),
    ] = False,
    class_caps: CapsOption = None,
    run: RunOption = None,
    device: DeviceOption = None,
) -> None:
    """Measure a trained classifier on the run's test images, class by class."""
    from classify.evaluation.calibration import draw_reliability
    from classify.evaluation.class_order import check_classes
    from classify.evaluation.evaluate import draw_confusion, evaluate, evaluate_assignment
    from classify.evaluation.prior_shift import parse_caps
    from tgn.models.backbones import load_classifier
    from tgn.runtime.devices import Device

    found = find_run(run)
    directory = classifier_folder(found, name)
    net = load_classifier(directory / CHECKPOINT)
    place = Device(ComputeSettings.resolve(device=device))
    split, facts = found.split(), net.facts
    folders = [entry.folder for entry in split.classes]
    check_classes(f"classifier {directory / CHECKPOINT}", facts.folders, folders)
    caps = parse_caps(class_caps, folders) if class_caps else None
    images = split.image_set("test", found.path, facts.size, facts.bands)
    result = evaluate(place.place(net), images, split, place)
    if assume_balanced_test:
        result["assuming_balanced_test"] = evaluate_assignment(net, images, split, place)
    if caps is not None:
        result["with_class_caps"] = evaluate_assignment(net, images, split, place, caps)
    write_json(directory / "evaluation.json", result)
    draw_confusion(result, directory / CONFUSION_PICTURE)
    draw_reliability(result, directory / RELIABILITY_PICTURE)
    _show_evaluation(result)


def _show_evaluation(result: dict[str, Any]) -> None:
    show_result(result)
    shifted = ", ".join(f"{name} {percent(share)}" for name, share in result["shifted"].items())
    out.print(
        f"calibration error {percent(result['ece'])}; accuracy under other test priors: {shifted}"
    )
    if "assuming_balanced_test" in result:
        out.print("the same, assuming that all classes are equally frequent in the test part:")
        show_result(result["assuming_balanced_test"])
    if "with_class_caps" in result:
        out.print("the same, with no class predicted above its cap, which uses the test part:")
        show_result(result["with_class_caps"])
    table = Table("class", "training images", "test images", "accuracy")
    for row in result["per_class"]:
        table.add_row(row["name"], str(row["train"]), str(row["test"]), percent(row["accuracy"]))
    out.print(table)


@app.command("predict")
def predict_verb(
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders, or - for a list on stdin.")
    ],
    name: NameOption = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A table image_id,class_id, as contests take it.")
    ] = False,
    class_caps: CapsOption = None,
    run: RunOption = None,
    device: DeviceOption = None,
) -> None:
    """Predict the classes of images, with their probabilities, tab-separated.

    Files that cannot be read are named on stderr, and the exit code is 2.
    """
    from classify.evaluation.predict import files_in, predict
    from classify.evaluation.prior_shift import parse_caps
    from tgn.models.backbones import load_classifier
    from tgn.runtime.devices import Device

    _check_form(top, as_json, as_csv, class_caps)
    net = load_classifier(classifier_folder(find_run(run), name) / CHECKPOINT)
    folders = net.facts.folders
    caps = parse_caps(class_caps, folders) if class_caps else None
    place = Device(ComputeSettings.resolve(device=device))
    broken: list[UserError] = []

    def skip(error: UserError) -> None:
        broken.append(error)
        err.print(f"left out: {error}", markup=False)

    files = files_in((Path(one) for one in _listed(images)), skip)
    count = top if caps is None else len(folders)
    found = predict(place.place(net), files, place, count, skip)
    if as_csv:
        _write_table(found, folders, caps)
    else:
        _write_lines(found, as_json)
    if broken:
        raise DataError(f"{len(broken)} could not be read, see above; the others are predicted")


def _check_form(top: int, as_json: bool, as_csv: bool, class_caps: str | None) -> None:
    """Refuse options that have no effect together."""
    if as_csv and (as_json or top > 1):
        raise UserError(
            f"--csv got {'--json' if as_json else '--top'} too; its table has one class an image: "
            "leave one of them out"
        )
    if class_caps and not as_csv:
        raise UserError("--class-caps got no --csv; capped classes are written as that table")


def _write_table(
    found: "Iterable[Prediction]", folders: Sequence[str], caps: Mapping[int, int] | None
) -> None:
    from classify.evaluation.submission import HEADER, submission_rows

    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(HEADER)
    table.writerows(submission_rows(found, folders, caps))


def _write_lines(found: "Iterable[Prediction]", as_json: bool) -> None:
    shown = partial(for_terminal, lines=False)  # a tab in a name is no end of a column
    for file, classes in found:
        if as_json:
            row = {"file": str(file), "classes": dict(classes)}
            typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            named = ((shown(folder), f"{probability:.3f}") for folder, probability in classes)
            line = (shown(str(file)), *(word for pair in named for word in pair))
            typer.echo("\t".join(line))  # rich would turn tabs into spaces


def _listed(images: list[str]) -> Iterator[str]:
    """Yield the arguments; in place of ``-`` the lines of stdin, as they come."""
    for one in images:
        if one == "-":
            yield from (_as_path(line) for line in iter(_line, "") if line.strip())
        else:
            yield one


def _line() -> str:
    """Return the next line of stdin, "" at its end."""
    line = sys.stdin.readline(LONGEST_PATH)
    if len(line) == LONGEST_PATH:
        raise UserError(
            f"stdin has a line of {LONGEST_PATH} characters or more; expected one path a line"
        )
    return line


def _as_path(line: str) -> str:
    """Return the path that a line of a list names, which may come from Windows."""
    path = line.removeprefix("\ufeff").rstrip("\r\n")
    return path if "\\" not in path or Path(path).exists() else path.replace("\\", "/")
