"""The command ``classify``: reads what was asked, calls one function, shows the result."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.table import Table

from classify.cli.detect import app as detect_app
from classify.training.recipes import BASES, check_recipes, with_ratios
from classify.training.settings import MethodName, TrainSettings, recipe_name
from tgn.data.manifest import rows_in_use
from tgn.data.runs import Run, find_run, runs_root
from tgn.runtime.console import (
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
    settings_of,
    show_plan,
)
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import read_json, write_json
from tgn.runtime.settings import ComputeSettings

# What trains and judges is imported by the verbs: it takes seconds, --help takes none.
app = typer.Typer(
    name="classify",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train classifiers on the real, or real and generated, images of a run, and compare them.",
)

app.add_typer(detect_app, name="detect")

OF_THE_RUN = "@run"  # what --augmented alone means
GROUPS = ("overall", "balanced", "head", "tail", "macro_f1", "many", "medium", "few")
AugmentedOption = Annotated[
    str | None,
    typer.Option("--augmented", help="Also generated images: the run's, or those in a folder."),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the classifier.")]
TeacherOption = Annotated[
    str | None, typer.Option("--teacher", help="Classifier that teaches: a name or a file.")
]


@app.callback()
def _root() -> None:
    pass


@app.command("train", epilog=TrainSettings.help_text())
def train_verb(
    augmented: AugmentedOption = None,
    run: RunOption = None,
    name: NameOption = None,
    method: Annotated[
        str | None, typer.Option(help=f"Any of: {', '.join(get_args(MethodName))}.")
    ] = None,
    teacher: TeacherOption = None,
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
    from classify.comparison.cross_validation import train_folds
    from classify.training.job import Lesson
    from classify.training.train import planned, train_classifier

    settings = settings_of(TrainSettings, config, set_, seed=seed, device=device, method=method)
    found = find_run(run)
    folder = _augmented(found, augmented)
    if folds and folder:
        raise UserError("--folds got --augmented too; judges must not see generated images")
    name = name or recipe_name(settings, folder is not None) + (f"-{folds}-folds" if folds else "")
    directory = found.path / "classify" / name
    lesson = Lesson(directory, folder, resume, teacher=_teacher(found, teacher))
    phases = [phase.name or name for phase in planned(found, lesson, settings)]
    if dry_run:
        show_plan(settings, f"train {name!r} in {len(phases)} trainings: {', '.join(phases)}")
    if folds:
        train_folds(found, lesson, folds, settings, TerminalProgress())
        out.print(f"{folds} classifiers: {lesson.directory}; next: tgn score", markup=False)
        return
    result = train_classifier(found, lesson, settings, TerminalProgress())
    _show(result)
    for phase in phases[:-1]:
        _show_own(phase, read_json(lesson.directory / phase / "metrics.json"))
    out.print(f"classifier, metrics and confusion matrix: {lesson.directory}", markup=False)


@app.command("evaluate")
def evaluate_verb(
    run: RunOption = None,
    name: NameOption = None,
    assume_balanced_test: Annotated[
        bool,
        typer.Option(
            help="Also: name every class equally often. Uses the prior of the test set, which no "
            "classifier in use knows."
        ),
    ] = False,
    device: DeviceOption = None,
) -> None:
    """Measure a trained classifier on the run's test images, class by class."""
    from classify.evaluation.calibration import draw_reliability
    from classify.evaluation.evaluate import draw_confusion, evaluate, evaluate_assigned
    from tgn.models.backbones import load_classifier
    from tgn.runtime.devices import Device

    found = find_run(run)
    directory = _classifier(found, name)
    net = load_classifier(directory / "classifier.safetensors")
    place = Device(ComputeSettings.resolve(device=device))
    split, facts = found.split(), net.facts
    images = split.image_set("test", found.path, facts.size, facts.bands)
    result = evaluate(place.place(net), images, split, place)
    if assume_balanced_test:
        result["assuming_balanced_test"] = evaluate_assigned(net, images, split, place)
    write_json(directory / "evaluation.json", result)
    draw_confusion(result, directory / "confusion.png")
    draw_reliability(result, directory / "reliability.png")
    _show(result)
    shifted = ", ".join(f"{name} {100 * x:.1f}" for name, x in result["shifted"].items())
    out.print(
        f"calibration error {100 * result['ece']:.1f}; accuracy under other test priors: {shifted}"
    )
    if assume_balanced_test:
        out.print("the same, told that all classes are equally frequent in the test part:")
        _show(result["assuming_balanced_test"])
    table = Table("class", "training images", "test images", "accuracy")
    for row in result["per_class"]:
        accuracy = "-" if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}"
        table.add_row(row["name"], str(row["train"]), str(row["test"]), accuracy)
    out.print(table)


@app.command("predict")
def predict_verb(
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders, or - for a list on stdin.")
    ],
    run: RunOption = None,
    name: NameOption = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an image.")] = False,
    device: DeviceOption = None,
) -> None:
    """Name the classes of images, with their probabilities, tab-separated."""
    from classify.evaluation.predict import files_in, predict
    from tgn.models.backbones import load_classifier
    from tgn.runtime.devices import Device

    net = load_classifier(_classifier(find_run(run), name) / "classifier.safetensors")
    place = Device(ComputeSettings.resolve(device=device))
    files = files_in(Path(one) for one in _listed(images))
    for file, classes in predict(place.place(net), files, place, top):
        if as_json:
            row = {"file": str(file), "classes": dict(classes)}
            typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            named = (f"{folder}\t{probability:.3f}" for folder, probability in classes)
            typer.echo("\t".join((str(file), *named)))  # rich would turn tabs into spaces


@app.command("import")
def import_verb(
    file: Annotated[Path, typer.Argument(help="A published TGN classifier, e.g. result.pth.")],
    run: RunOption = None,
    name: Annotated[str, typer.Option(help="Name of the classifier.")] = "published",
    size: Annotated[int, typer.Option(min=32, help="Side in pixels it sees images at.")] = 224,
) -> None:
    """Take over a published ResNet-50 classifier as one of the run's."""
    from classify.evaluation.import_published import import_classifier

    found = find_run(run)
    path = found.path / "classify" / name / "classifier.safetensors"
    import_classifier(found.split(), file, path, size)
    out.print(f"{path}; next: classify evaluate --name {name}", markup=False)


@app.command("export")
def export_verb(
    file: Annotated[Path | None, typer.Argument(help="Default: beside the classifier.")] = None,
    run: RunOption = None,
    name: NameOption = None,
) -> None:
    """Write a classifier as ONNX, checked against torch with onnxruntime."""
    from classify.evaluation.export_onnx import export_onnx
    from tgn.models.backbones import load_classifier

    directory = _classifier(find_run(run), name)
    net = load_classifier(directory / "classifier.safetensors")
    file = file or directory / "classifier.onnx"
    difference = export_onnx(net, file)
    facts = net.facts
    out.print(
        f"{file}: images [B, {facts.bands}, {facts.size}, {facts.size}] in [0, 1] -> logits, "
        f"probabilities [B, {len(facts.folders)}]; differs from torch by {difference:.0e}",
        markup=False,
    )


@app.command("compare", epilog=TrainSettings.help_text())
def compare_verb(
    recipes: Annotated[
        str,
        typer.Option(help=f"Any of: {', '.join(BASES)}; each also as NAME+generated."),
    ] = "ce,ce+generated,balanced,balanced+generated",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe.")] = 3,
    ratio: Annotated[
        str | None,
        typer.Option(help="With so many generated images: 1 fills classes up; e.g. 0.25,0.5,1,2."),
    ] = None,
    teacher: TeacherOption = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings at a time; default: one for each GPU.")
    ] = None,
    augmented: AugmentedOption = OF_THE_RUN,
    run: RunOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Train recipes with several seeds and show mean and 95% interval of each."""
    from classify.comparison.compare import Plan, compare, default_jobs
    from classify.comparison.formatting import rows_of, shown

    settings = settings_of(TrainSettings, config, set_, seed=seed, device=device)
    found = find_run(run)
    names = check_recipes([recipe.strip() for recipe in recipes.split(",") if recipe.strip()])
    names = tuple(with_ratios(names, _numbers(ratio)))
    folder = found.path / "generated" if augmented in (None, OF_THE_RUN) else Path(str(augmented))
    if dry_run:
        show_plan(settings, f"train {len(names)} recipes x {seeds} seeds: {', '.join(names)}")
    plan = Plan(names, seeds, folder, _teacher(found, teacher), jobs or default_jobs())
    result = compare(found, plan, settings, TerminalProgress())
    table = Table("recipe", "tail", "head", "balanced", "overall", "macro F1")
    for title, row in rows_of(result):
        table.add_row(title, *(shown(entry) for entry in row.values()))
    out.print(table)
    out.print(
        f"percent of real test images, mean over {seeds} seeds ± half of the 95% interval; "
        f"all values: {found.path / 'compare.json'}, also .csv, .md and .png",
        markup=False,
    )


@app.command("multilabel", epilog=TrainSettings.help_text())
def multilabel_verb(
    table: Annotated[
        Path, typer.Argument(help="CSV: file,part,labels; part train or test, labels a;b;c.")
    ],
    name: NameOption = None,
    method: Annotated[str | None, typer.Option(help="plain or lsh.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Classifier that teaches: its file.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train a classifier of images that show several classes; mAP, CF1, OF1 on the test part."""
    from classify.multilabel.train import MultiLabelLesson, train_multi_label

    settings = settings_of(TrainSettings, config, set_, seed=seed, device=device, method=method)
    directory = runs_root() / f"{table.stem}-multilabel" / (name or settings.method)
    if dry_run:
        show_plan(settings, f"train {directory}")
    lesson = MultiLabelLesson(table, directory, Path(teacher) if teacher else None, resume)
    result = train_multi_label(lesson, settings, TerminalProgress())
    shown = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
    table_of_measures = Table(*shown)
    table_of_measures.add_row(*(f"{100 * result[measure]:.1f}" for measure in shown))
    out.print(table_of_measures)
    out.print(f"percent on {result['n']} test images; classifier: {directory}", markup=False)


def _augmented(run: Run, given: str | None) -> Path | None:
    """Return the folder of generated images that --augmented means, checked to hold some."""
    if given is None:
        return None
    folder = run.path / "generated" if given == OF_THE_RUN else Path(given)
    if not any(rows_in_use(folder, run.split())):
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


def _teacher(run: Run, given: str | None) -> Path | None:
    """Return the file of the classifier that --teacher names."""
    if given is None or Path(given).is_file():
        return Path(given) if given else None
    return _classifier(run, given) / "classifier.safetensors"


def _numbers(text: str | None) -> list[float]:
    try:
        return [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        raise UserError(f"--ratio got {text!r}, expected numbers, e.g. 0.25,0.5,1,2") from None


def _listed(images: list[str]) -> Iterator[str]:
    """Yield the arguments; in place of ``-`` the lines of stdin, as they come."""
    for one in images:
        if one == "-":
            yield from (line.rstrip("\n") for line in sys.stdin if line.strip())
        else:
            yield one


def _show_own(phase: str, result: dict[str, Any]) -> None:
    """Show what a teacher is worth on the classes it was taught."""
    own = result.get("own_classes")
    value = own["accuracy"] if own else result["balanced"]
    what = f"its own {len(own['classes'])} classes" if own else "all classes"
    shown = "-" if value is None else f"{100 * value:.1f}"
    out.print(f"{phase}: balanced accuracy on {what}: {shown}", markup=False)


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
