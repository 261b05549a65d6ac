"""Verbs that read and write classifiers of other programs: import, export."""

from pathlib import Path
from typing import Annotated

import typer

from classify.cli.classifiers import NameOption, classifier_folder
from classify.training.layout import CHECKPOINT
from tgn.data.runs import find_run
from tgn.runtime.command_options import RunOption
from tgn.runtime.console import out
from tgn.runtime.names import checked_option

app = typer.Typer()


@app.command("import")
def import_verb(
    file: Annotated[Path, typer.Argument(help="A published TGN classifier, e.g. result.pth.")],
    name: Annotated[
        str, typer.Option(help="Name of the classifier.", callback=checked_option)
    ] = "published",
    size: Annotated[int, typer.Option(min=32, help="Side of its input images, in pixels.")] = 224,
    run: RunOption = None,
) -> None:
    """Import a published ResNet-50 classifier as one of the run's."""
    from classify.evaluation.import_published import import_classifier

    found = find_run(run)
    path = found.classifiers / name / CHECKPOINT
    import_classifier(found.split(), file, path, size)
    out.print(f"{path}; next: classify evaluate --name {name}", markup=False)


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
