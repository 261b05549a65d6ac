"""The command ``classify``: reads what was asked, calls one function, shows the result."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from classify.recipes import RECIPES, check_recipes
from classify.settings import TrainSettings, recipe_name
from tgn.core.console import (
    ConfigOption,
    DeviceOption,
    DryRunOption,
    ResumeOption,
    RunOption,
    SeedOption,
    SetOption,
    TerminalProgress,
    out,
    run_app,
)
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import write_json
from tgn.core.manifest import rows_in_use
from tgn.core.runs import Run, find_run
from tgn.core.settings import ComputeSettings

# What trains and judges is imported by the verbs: it takes seconds, --help takes none.
app = typer.Typer(
    name="classify",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train classifiers on the real, or real and generated, images of a run, and compare them.",
)

OF_THE_RUN = "@run"  # what --augmented alone means
GROUPS = ("overall", "balanced", "head", "tail", "macro_f1", "many", "medium", "few")
AugmentedOption = Annotated[
    str | None,
    typer.Option("--augmented", help="Also generated images: the run's, or those in a folder."),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the classifier.")]


@app.callback()
def _root() -> None:
    pass


@app.command("train", epilog=TrainSettings.help_text())
def train_verb(
    augmented: AugmentedOption = None,
    run: RunOption = None,
    name: NameOption = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Train this many, each without its part: judges for tgn score."),
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train a classifier on real images, with --augmented also on generated ones."""
    from classify.course import train_classifier
    from classify.folding import train_folds
    from classify.lessons import Lesson

    settings = _settings(config, set_, seed=seed, device=device)
    found = find_run(run)
    folder = _augmented(found, augmented)
    if folds and folder:
        raise UserError("--folds got --augmented too; judges must not see generated images")
    name = name or recipe_name(settings, folder is not None) + (f"-{folds}-folds" if folds else "")
    lesson = Lesson(found.path / "classify" / name, folder, resume)
    if dry_run:
        _plan(settings, f"train {name!r}")
    if folds:
        train_folds(found, lesson, folds, settings, TerminalProgress())
        out.print(f"{folds} classifiers: {lesson.directory}; next: tgn score", markup=False)
        return
    result = train_classifier(found, lesson, settings, TerminalProgress())
    _show(result)
    out.print(f"classifier, metrics and confusion matrix: {lesson.directory}", markup=False)


@app.command("evaluate")
def evaluate_verb(
    run: RunOption = None, name: NameOption = None, device: DeviceOption = None
) -> None:
    """Measure a trained classifier on the run's test images, class by class."""
    from classify.evaluate import draw_confusion, evaluate
    from tgn.core.backbones import load_classifier
    from tgn.core.devices import Device

    found = find_run(run)
    directory = _classifier(found, name)
    net = load_classifier(directory / "classifier.safetensors")
    place = Device(ComputeSettings.resolve(device=device))
    split, facts = found.split(), net.facts
    images = split.image_set("test", found.path, facts.size, facts.bands)
    result = evaluate(place.place(net), images, split, place)
    write_json(directory / "evaluation.json", result)
    draw_confusion(result, directory / "confusion.png")
    _show(result)
    table = Table("class", "training images", "test images", "accuracy")
    for row in result["per_class"]:
        accuracy = "-" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}"
        table.add_row(row["name"], str(row["train"]), str(row["test"]), accuracy)
    out.print(table)


@app.command("predict")
def predict_verb(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    run: RunOption = None,
    name: NameOption = None,
    device: DeviceOption = None,
) -> None:
    """Name the class of images, with its probability."""
    from classify.predict import predict
    from tgn.core.backbones import load_classifier
    from tgn.core.devices import Device

    net = load_classifier(_classifier(find_run(run), name) / "classifier.safetensors")
    place = Device(ComputeSettings.resolve(device=device))
    for file, folder, probability in predict(place.place(net), images, place):
        out.print(f"{file}\t{folder}\t{probability:.3f}", markup=False)


@app.command("compare", epilog=TrainSettings.help_text())
def compare_verb(
    recipes: Annotated[
        str, typer.Option(help=f"Any of: {', '.join(RECIPES)}.")
    ] = "ce,ce+generated,balanced,balanced+generated",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe.")] = 3,
    augmented: AugmentedOption = OF_THE_RUN,
    run: RunOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Train recipes with several seeds and show mean and 95% interval of each."""
    from classify.compare import Plan, compare, shown

    settings = _settings(config, set_, seed=seed, device=device)
    found = find_run(run)
    names = check_recipes([recipe.strip() for recipe in recipes.split(",") if recipe.strip()])
    folder = found.path / "generated" if augmented in (None, OF_THE_RUN) else Path(str(augmented))
    if dry_run:
        _plan(settings, f"train {len(names)} recipes x {seeds} seeds: {', '.join(names)}")
    result = compare(found, Plan(names, seeds, folder), settings, TerminalProgress())
    table = Table("recipe", "tail", "head", "balanced", "overall", "macro F1")
    for recipe, row in result["recipes"].items():
        table.add_row(recipe, *(shown(entry) for entry in row.values()))
    for recipe, row in result["gains"].items():
        table.add_row(f"gain over {recipe}", *(shown(entry) for entry in row.values()))
    out.print(table)
    out.print(
        f"percent of real test images, mean over {seeds} seeds ± half of the 95% interval; "
        f"all values: {found.path / 'compare.json'}",
        markup=False,
    )


def _settings(config: str | None, set_: list[str] | None, **flags: Any) -> TrainSettings:
    return TrainSettings.resolve(Path(config) if config else None, set_ or (), **flags)


def _plan(settings: TrainSettings, what: str) -> NoReturn:
    """Show what a dry run would do, and end."""
    out.print(f"would do: {what}\n{settings.explained()}", markup=False)
    raise typer.Exit


def _augmented(run: Run, given: str | None) -> Path | None:
    """Return the folder of generated images that --augmented means, checked to hold some."""
    if given is None:
        return None
    folder = run.path / "generated" if given == OF_THE_RUN else Path(given)
    if not rows_in_use(folder, run.split()):
        raise NotFoundError(f"no images in {folder}; make them with: tgn generate --class all")
    return folder


def _classifier(run: Run, name: str | None) -> Path:
    """Return the folder of the classifier ``name``, else of the one trained last."""
    found = {path.parent.name: path for path in run.path.glob("classify/*/classifier.safetensors")}
    if not found:
        raise NotFoundError(f"no classifier in {run.path / 'classify'}; run: classify train")
    if name is None:
        name = max(found, key=lambda key: found[key].stat().st_mtime_ns)
    if name not in found:
        raise NotFoundError(f"no classifier {name!r}; there are: {', '.join(sorted(found))}")
    return found[name].parent


def _show(result: dict[str, Any]) -> None:
    table = Table(*(group.replace("_", " ") for group in GROUPS))
    values = [result[group] for group in GROUPS]
    table.add_row(*("-" if value is None else f"{100 * value:.1f}" for value in values))
    out.print(table)
    limits = result["thresholds"]
    out.print(
        f"percent on {result['n']} real test images; groups are class means; many: over "
        f"{limits['many_over']} training images, few: under {limits['few_under']}"
    )


def with_default_folder(arguments: list[str]) -> list[str]:
    """Let ``--augmented`` stand alone: without a folder behind it, it means the run's own."""
    filled = []
    for place, word in enumerate(arguments):
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        alone = word == "--augmented" and following.startswith("-")
        filled += [word, OF_THE_RUN] if alone else [word]
    return filled


def main() -> None:
    """Run the command line and exit."""
    sys.argv[1:] = with_default_folder(sys.argv[1:])
    run_app(app)
