"""Verbs of the generator: distill, train, import, generate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from tgn.backends import BACKENDS, backend, trained_backend
from tgn.data.runs import find_run
from tgn.data.split import ALL, EVERY, FOLDER, Split
from tgn.generation.cdtg.settings import CdtgSampleSettings, CdtgTrainSettings
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.command_options import CommonOptions, RunOption, settings_command, show_plan
from tgn.runtime.config import Settings
from tgn.runtime.console import TerminalProgress, err, out
from tgn.runtime.errors import UserError

app = typer.Typer()


@settings_command(app, "distill", DistillSettings, resume=True)
def distill_verb(common: CommonOptions, run: RunOption = None) -> None:
    """Train the head and tail networks by mutual distillation (KMDN); write the tail features."""
    from tgn.kmdn.distill import distill

    settings = common.settings(DistillSettings)
    found = find_run(run)
    if common.dry_run:
        show_plan(settings, f"KMDN on {sum(found.split().counts)} images, run {found.name!r}")
    result = distill(found, settings, TerminalProgress(), common.resume)
    table = Table("network", *(" ".join(column) for column in result.columns))
    for name, row in result.rows().items():
        table.add_row(name, *("-" if value is None else f"{value:.3f}" for value in row))
    out.print(table)
    out.print("accuracy on the held-out test part; next: tgn train")
    if any(when == "control" for _, when in result.columns):
        out.print("after less control is what the exchange brought; control had no teacher")


def _train_settings(options: Mapping[str, Any]) -> type[Settings]:
    return backend(options["backend_name"]).train_settings


@settings_command(app, "train", CdtgTrainSettings, resume=True, choose=_train_settings)
def train_verb(
    common: CommonOptions,
    backend_name: Annotated[
        str, typer.Option("--backend", help=f"Kind of generator: {', '.join(BACKENDS)}.")
    ] = "cdtg",
    model: Annotated[
        str | None, typer.Option(help="Of stable-diffusion: a name on the hub, or a folder.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Of cdtg: imported (what tgn import wrote here), or a generator's file."),
    ] = None,
    run: RunOption = None,
) -> None:
    """Train the generator of tail images on the run's images and tail features.

    Each backend has settings of its own: --backend NAME --help-settings.
    """
    chosen = backend(backend_name)
    if init is not None and "start" not in chosen.train_settings.model_fields:
        raise UserError(f"--init got --backend {backend_name}; it goes with cdtg")
    settings = common.settings(chosen.train_settings, model=model, start=init)
    found = find_run(run)
    settings = chosen.fitted(found, settings)
    if common.dry_run:
        plan = f"train {chosen.title} in run {found.name!r}\n{chosen.cost(settings)}"
        show_plan(settings, plan.rstrip())
    chosen.train(found, settings, TerminalProgress(), common.resume)
    folder = chosen.weights(found).parent
    recipe = getattr(settings, "recipe", "none")  # of a pretrained model, for both commands
    following = "" if recipe == "none" else f" --set recipe={recipe}"
    out.print(f"generator and grids are in {folder}; next: tgn generate --class all{following}")


@app.command("import")
def import_verb(
    file: Annotated[Path, typer.Argument(help="A published TGN checkpoint, e.g. 200000.pt.")],
    run: RunOption = None,
) -> None:
    """Import a published TGN generator into a run that has been split and distilled."""
    from tgn.generation.cdtg.import_published import import_generator

    found = find_run(run)
    imported = import_generator(found, file)
    names = [found.split().classes[k].folder for k in imported.classes]
    out.print(
        f"{imported.path}: {imported.size} px, published labels 0, 1, ... are {', '.join(names)}; "
        "next: tgn generate --class all --noise 1; or train it further: tgn train --init imported",
        markup=False,
    )


def _generate_settings(options: Mapping[str, Any]) -> type[Settings]:
    return backend(options["backend_name"] or "cdtg").sample_settings


@settings_command(app, "generate", CdtgSampleSettings, resume=True, choose=_generate_settings)
def generate_verb(
    common: CommonOptions,
    class_: Annotated[
        str,
        typer.Option(
            "--class",
            help="Folder of a class, or position in the tail; folder:0 where folders are numbers; "
            "all: the tail; every: the head too.",
        ),
    ],
    noise: Annotated[
        str | None,
        typer.Option(
            help="r: 0 reproduces the source image, 1 ignores it; several, e.g. 1,0.7,0.4, draw "
            "every source at each."
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Images per class.")] = None,
    backend_name: Annotated[
        str | None, typer.Option("--backend", help="Generator; default: the one trained last.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; default: the run's.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Draw images anew whose files are not what was written."),
    ] = False,
    run: RunOption = None,
) -> None:
    """Generate images of one class, of the tail or of every class; goes on where it stopped."""
    from tgn.generation.generate import GenerationRequest, generate_images

    found = find_run(run)
    split = found.split()
    labels = split.classes_called(class_)
    trained = trained_backend(found, backend_name)
    settings = common.settings(trained.sample_settings, noise=noise, n=n)
    if class_ not in (ALL, EVERY):
        err.print(f"--class {class_} is {_meant_class(split, class_, labels[0])}", markup=False)
    folder = out_dir or found.generated
    with trained.kept(found):
        sampler = trained.open_sampler(found, settings, labels)
        if common.dry_run:
            plan = _planned_images(split, labels, settings.n)
            plan = f"{plan} into {folder}, generated by {trained.title}"
            show_plan(settings, "\n".join((plan, *sampler.notes(settings))))
        request = GenerationRequest(labels, folder, settings, repair)
        counts = generate_images(found, sampler, request, TerminalProgress(), common.resume)
    for name, count in counts.items():
        out.print(f"{count} images of {name} in {folder / name}", markup=False)
    out.print("next: tgn score; classify train --augmented")


def _meant_class(split: Split, given: str, label: int) -> str:
    """Say which class a word means, and what else it could have meant."""
    entry = split.classes[label]
    named = f" ({entry.name})" if entry.name != entry.folder else ""
    meant = f"class {entry.folder!r}{named}"
    if given == entry.folder or given.startswith(FOLDER):
        return meant
    meant += f", place {given} in the tail"
    if any(given == one.folder for one in split.classes):
        meant += f", as published; class folder {given!r} is --class {FOLDER}{given}"
    return meant


def _planned_images(split: Split, labels: Sequence[int], requested: int | None) -> str:
    """Return how many images a plan makes, head and tail apart, with the numbers a class."""
    from tgn.generation.generate import numbers_of_images

    numbers = numbers_of_images(split, labels, requested)
    groups = {
        "tail": [number for label, number in numbers.items() if not split.is_head(label)],
        "head": [number for label, number in numbers.items() if split.is_head(label)],
    }
    return " and ".join(
        f"{sum(group)} images of the {name} ({min(group)} to {max(group)} a class)"
        for name, group in groups.items()
        if group
    )
