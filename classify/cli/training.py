"""Verbs that train classifiers: train, probe, compare, multilabel."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.table import Table

from classify.cli.classifiers import (
    AugmentedOption,
    NameOption,
    TeacherOption,
    augmented_folder,
    percent,
    require_some_kept,
    say_class_folders,
    show_result,
    teacher_file,
)
from classify.comparison.settings import CompareSettings
from classify.probe.settings import ProbeSettings, probe_name
from classify.training.layout import CHECKPOINT, METRICS
from classify.training.recipe_names import trained_name
from classify.training.recipes import (
    BASES,
    DEFAULT_RECIPES,
    check_recipes,
    default_recipe,
    have_generated,
    with_ratios,
    with_recipe,
)
from classify.training.settings import MethodName, TrainSettings
from tgn.data.runs import Run, file_or_named, find_run, runs_root
from tgn.probe.settings import HeadName
from tgn.runtime.command_options import (
    OF_THE_RUN,
    CommonOptions,
    RunOption,
    settings_command,
    show_plan,
)
from tgn.runtime.console import TerminalProgress, out
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from classify.comparison.sweep import PlannedTraining
    from classify.methods.phases import Phase

MULTILABEL_MEASURES = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")

app = typer.Typer()


@settings_command(app, "train", TrainSettings, resume=True)
def train_verb(
    common: CommonOptions,
    augmented: AugmentedOption = None,
    name: NameOption = None,
    method: Annotated[
        str | None, typer.Option(help=f"Any of: {', '.join(get_args(MethodName))}.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A named recipe of classify compare; default: lp-ft, if the network is pretrained "
            "and no setting chooses another."
        ),
    ] = None,
    teacher: TeacherOption = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, max=1000, help="Cross-validation: one classifier per fold, for tgn score."
        ),
    ] = None,
    run: RunOption = None,
) -> None:
    """Train a classifier on real images, with --augmented also on generated ones."""
    from classify.comparison.cross_validation import train_folds
    from classify.training.generated_plan import use_of_generated
    from classify.training.job import TrainingJob
    from classify.training.train import planned_phases, train_classifier

    recipe, settings = _recipe_and_settings(common, recipe, method)
    found = find_run(run)
    folder = augmented_folder(found, augmented)
    if folds and folder:
        raise UserError("--folds got --augmented too; folds must not see generated images")
    made = trained_name(settings, recipe, folder is not None)
    name = name or made + (f"-{folds}-folds" if folds else "")
    directory = found.classifiers / name
    job = TrainingJob(directory, folder, common.resume, teacher=teacher_file(found, teacher))
    planned = planned_phases(found, job, settings)
    _check_teacher(job.teacher, planned, settings)
    phases = [phase.name or name for phase in planned]
    if common.dry_run:
        plan = f"train {name!r} in {len(phases)} trainings: {', '.join(phases)}\n"
        show_plan(settings.resolved(), (plan + use_of_generated(found, job, settings)).rstrip())
    if folds:
        train_folds(found, job, folds, settings, TerminalProgress())
        out.print(f"{folds} classifiers: {job.directory}; next: tgn score", markup=False)
        return
    _show_training(
        train_classifier(found, job, settings, TerminalProgress()), phases[:-1], job.directory
    )


def _check_teacher(
    teacher: Path | None, phases: Sequence["Phase"], settings: TrainSettings
) -> None:
    """Refuse a teacher of which nothing is learned."""
    if teacher is None or any(teacher in phase.teachers.values() for phase in phases):
        return
    own = ", ".join(f"t2fts.{name}_teacher" for name in ("head", "middle", "tail"))
    remedy = f"set {own}" if settings.method == "t2fts" else "leave it out, or choose --method lsh"
    raise UserError(f"--teacher got --method {settings.method}, which learns from none; {remedy}")


def _show_training(result: dict[str, Any], teachers: Sequence[str], directory: Path) -> None:
    """Show what was trained: the result, its control and what was trained before it."""
    show_result(result)
    if control := result.get("control"):
        values = ", ".join(f"{group} {percent(value)}" for group, value in control.items())
        out.print(f"its control, trained as long without a teacher: {values}", markup=False)
    for phase in teachers:
        _show_phase(phase, read_json(directory / phase / METRICS))
    out.print(f"classifier, metrics and confusion matrix: {directory}", markup=False)


def _recipe_and_settings(
    common: CommonOptions, recipe: str | None, method: str | None
) -> tuple[str | None, TrainSettings]:
    """Return the recipe that is named, or follows from the settings, and the settings with it."""
    given = common.given(method=method)
    with common.naming_file():
        recipe = recipe or default_recipe(given)
        return recipe, with_recipe(given, recipe) if recipe else TrainSettings.joined(given)


def _show_phase(phase: str, result: dict[str, Any]) -> None:
    """Show the accuracy of a teacher on the classes that it was trained on."""
    own = result.get("own_classes")
    value = own["accuracy"] if own else result["balanced"]
    what = f"its own {len(own['classes'])} classes" if own else "all classes"
    out.print(f"{phase}: balanced accuracy on {what}: {percent(value)}", markup=False)


@settings_command(app, "probe", ProbeSettings)
def probe_verb(
    common: CommonOptions,
    augmented: AugmentedOption = None,
    name: NameOption = None,
    head: Annotated[
        str | None, typer.Option(help=f"Any of: {', '.join(get_args(HeadName))}.")
    ] = None,
    run: RunOption = None,
) -> None:
    """Fit a linear classifier to the features of frozen, pretrained networks: minutes, no GPU."""
    from classify.probe.train import ProbeJob, train_probe

    settings = common.settings(ProbeSettings, head=head)
    found = find_run(run)
    folder = augmented_folder(found, augmented)
    if "generated_below" in settings.model_fields_set and folder is None:
        raise UserError("generated_below got no generated images; give --augmented")
    if "generated_share" in settings.model_fields_set and folder is None and not settings.transfer:
        raise UserError("generated_share got no generated images; give --augmented or transfer")
    directory = found.classifiers / (name or probe_name(settings, folder is not None))
    if common.dry_run:
        show_plan(settings, f"fit {directory.name!r} to features of {settings.networks}")
    result = train_probe(found, ProbeJob(directory, folder), settings, TerminalProgress())
    show_result(result)
    left_out = result["left_out"]
    out.print(
        f"training images, each by a fit without it: balanced {percent(left_out['balanced'])}, "
        f"tail {percent(left_out['tail'])}; {result['seconds']:.0f} s; files: {directory}",
        markup=False,
    )


@settings_command(app, "compare", CompareSettings)
def compare_verb(
    common: CommonOptions,
    recipes: Annotated[
        str,
        typer.Option(
            help=f"Any of: {', '.join(BASES)}; each also as NAME+generated "
            "or NAME+generated-USE (a value of generated_use)."
        ),
    ] = ",".join(DEFAULT_RECIPES),
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Trainings of each recipe.")] = 3,
    ratio: Annotated[
        str | None,
        typer.Option(help="Numbers of generated images; 1 fills classes up: e.g. 0.25,0.5,1,2."),
    ] = None,
    teacher: TeacherOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Trainings at a time; default: one for each GPU."),
    ] = None,
    augmented: Annotated[
        str,
        typer.Option(help="Folder of generated images; default: the run's.", show_default=False),
    ] = OF_THE_RUN,
    run: RunOption = None,
) -> None:
    """Train recipes with several seeds and show mean and 95% interval of each."""
    from classify.comparison.compare import (
        ComparisonPlan,
        compare,
        default_jobs,
        planned_trainings,
    )

    settings = common.settings(CompareSettings)
    found = find_run(run)
    names = check_recipes([recipe.strip() for recipe in recipes.split(",") if recipe.strip()])
    names = tuple(with_ratios(names, _numbers(ratio)))
    if augmented != OF_THE_RUN and not have_generated(names):
        raise UserError("--augmented got no recipe with generated images; add NAME+generated")
    folder = found.generated if augmented == OF_THE_RUN else Path(augmented)
    if have_generated(names):
        require_some_kept(folder)
        say_class_folders(folder, found)
    plan = ComparisonPlan(
        names,
        seeds,
        folder,
        teacher_file(found, teacher),
        jobs or default_jobs(),
        settings.probe,
        settings.clip,
    )
    if common.dry_run:
        planned = planned_trainings(found, plan, settings.training)
        uses = _uses(found, dict(zip(names, planned[::seeds], strict=True)))
        plan_line = f"train {len(names)} recipes x {seeds} seeds: {', '.join(names)}"
        show_plan(settings, "\n".join([plan_line, *uses]))
    result = compare(found, plan, settings.training, TerminalProgress())
    _show_comparison(result)
    out.print(
        f"percent of real test images, mean over {seeds} seeds ± half of the 95% interval; "
        f"all values: {found.comparison_file}, also .csv, .md and .png",
        markup=False,
    )
    if result["verdict"]:
        out.print(result["verdict"]["sentence"], style="bold", markup=False)


def _uses(run: Run, trainings: Mapping[str, "PlannedTraining"]) -> list[str]:
    """Return a line on its generated images for each recipe that trains with some."""
    from classify.training.generated_plan import use_of_generated

    trained = {
        name: one for name, one in trainings.items() if one.probe is None and one.zero_shot is None
    }
    uses = {name: use_of_generated(run, one.job, one.settings) for name, one in trained.items()}
    return [f"{name}: {use}" for name, use in uses.items() if use]


def _show_comparison(result: dict[str, Any]) -> None:
    from classify.comparison.formatting import as_cells

    header, rows = as_cells(result)
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    out.print(table)


def _numbers(text: str | None) -> list[float]:
    try:
        numbers = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(0 < number < math.inf for number in numbers):
        raise UserError(f"--ratio got {text!r}, expected numbers above 0, e.g. 0.25,0.5,1,2")
    return numbers


@settings_command(app, "multilabel", TrainSettings, resume=True)
def multilabel_verb(
    common: CommonOptions,
    table: Annotated[
        Path, typer.Argument(help="CSV: file,part,labels; part train or test, labels a;b;c.")
    ],
    name: NameOption = None,
    method: Annotated[str | None, typer.Option(help="plain or lsh.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher: name (of this table) or file of a classifier.")
    ] = None,
) -> None:
    """Train a classifier of images with several labels; mAP, CF1, OF1 on the test part."""
    from classify.multilabel.train import MultiLabelJob, train_multi_label

    settings = common.settings(TrainSettings, method=method)
    folder = runs_root() / f"{table.stem}-multilabel"
    directory = folder / (name or settings.method)
    if common.dry_run:
        show_plan(settings, f"train {directory}")
    file = None
    if teacher:
        file = file_or_named(teacher, folder, CHECKPOINT, "classifier", "classify multilabel")
    job = MultiLabelJob(table, directory, file, common.resume)
    result = train_multi_label(job, settings, TerminalProgress())
    measures = Table(*MULTILABEL_MEASURES)
    measures.add_row(*(f"{100 * result[measure]:.1f}" for measure in MULTILABEL_MEASURES))
    out.print(measures)
    out.print(f"percent on {result['n']} test images; classifier: {directory}", markup=False)
