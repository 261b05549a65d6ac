"""Verbs that read and write classifiers of other programs: import, export."""

import math
from pathlib import Path
from typing import Annotated

import typer

from classify.cli.classifiers import NameOption, classifier_folder
from classify.training.layout import CHECKPOINT
from tgn.data.runs import find_run
from tgn.runtime.bounds import LARGEST_SIDE
from tgn.runtime.command_options import RunOption
from tgn.runtime.console import out
from tgn.runtime.errors import UserError
from tgn.runtime.names import checked_option

app = typer.Typer()


@app.command("import")
def import_verb(
    file: Annotated[
        Path,
        typer.Argument(
            help="Weights of a residual network of TGN, T2FTS or in torchvision's names."
        ),
    ],
    name: Annotated[
        str, typer.Option(help="Name of the classifier.", callback=checked_option)
    ] = "published",
    size: Annotated[
        int, typer.Option(min=16, max=LARGEST_SIDE, help="Side of its input images, in pixels.")
    ] = 224,
    mean: Annotated[
        str, typer.Option(help="Of pixels in [0, 1], as it was trained: a number, or one a band.")
    ] = "0.5",
    std: Annotated[str, typer.Option(help="Likewise.")] = "0.5",
    run: RunOption = None,
) -> None:
    """Import a published residual network as a classifier of the run."""
    from classify.evaluation.import_published import import_classifier

    found = find_run(run)
    path = found.classifiers / name / CHECKPOINT
    mean_of, std_of = _numbers("mean", mean), _numbers("std", std)
    if min(std_of) <= 0:
        raise UserError(f"--std got {std!r}, expected numbers above 0")
    net = import_classifier(found.split(), file, path, size, mean_of, std_of)
    facts = net.facts
    out.print(
        f"{facts.arch}, {facts.size} px, {facts.bands} band(s): {path}; next: classify evaluate "
        f"--name {name}",
        markup=False,
    )


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        raise UserError(
            f"--{option} got {text!r}, expected a number or one a band: 0.485,0.456,0.406"
        )
    return numbers


@app.command("export")
def export_verb(
    file: Annotated[Path | None, typer.Argument(help="Default: beside the classifier.")] = None,
    name: NameOption = None,
    run: RunOption = None,
) -> None:
    """Write a classifier as ONNX, checked against torch with onnxruntime."""
    from classify.evaluation.export_onnx import export_onnx
    from tgn.models.backbones import load_classifier

    directory = classifier_folder(find_run(run), name)
    net = load_classifier(directory / CHECKPOINT)
    file = file or directory / "classifier.onnx"
    difference = export_onnx(net, file)
    facts = net.facts
    out.print(
        f"{file}: images [B, {facts.bands}, {facts.size}, {facts.size}] in [0, 1] -> logits, "
        f"probabilities [B, {len(facts.folders)}]; differs from torch by {difference:.0e}",
        markup=False,
    )
