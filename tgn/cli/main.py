"""The command ``tgn``: reads what was asked, calls one function of a room, shows the result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tgn import __version__
from tgn.backends import BACKENDS, backend, trained_backend
from tgn.cli import demo
from tgn.data.annotations.chips import ChipSettings, cut_chips
from tgn.data.annotations.readers import read_annotations
from tgn.data.runs import find_run, runs_root
from tgn.data.split import Split
from tgn.data.splits.histogram import histogram_rows
from tgn.data.splits.make_split import SplitSettings, plan_split, split_run
from tgn.generation.cdtg.settings import DrawSettings, TrainSettings
from tgn.kmdn.settings import DistillSettings
from tgn.runtime.console import (
    ConfigOption,
    DeviceOption,
    DryRunOption,
    ResumeOption,
    RunOption,
    SeedOption,
    SetOption,
    TerminalProgress,
    err,
    out,
    run_app,
    settings_of,
    show_plan,
)
from tgn.scenes import ScenesSettings, count_scenes, write_scenes
from tgn.scenes.write_images import ImagesSettings, write_images
from tgn.scoring.results import COLUMNS, table_rows
from tgn.scoring.settings import FILTER_GRID, KEPT, FilterSettings, ScoreSettings

# Stages are imported by the verbs that run them: all of them take seconds, --help takes none.
app = typer.Typer(
    name="tgn",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Draw new images of the rare classes of a long-tailed image set. In order: split, "
    "distill, train, generate, score; then: classify train --augmented. Try: tgn demo",
)

LOOPBACK = "127.0.0.1"
WITH_BOXES = f"With --boxes rotated: {ImagesSettings.help_text()}"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command("scenes", epilog=f"{ScenesSettings.help_text()}\n\n{WITH_BOXES}")
def scenes_verb(
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    modality: Annotated[
        str | None, typer.Option(help="eo (camera), sar (radar), or eo,sar: pairs of both.")
    ] = None,
    boxes: Annotated[
        str | None, typer.Option(help="rotated: whole images with boxes, for detectors.")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Write the built-in data: drawn aerial chips of twelve classes, long-tailed."""
    if boxes is not None:
        whole = settings_of(ImagesSettings, config, set_, seed=seed, boxes=boxes)
        if dry_run:
            show_plan(whole, f"{whole.total} images with their boxes into {out_dir}")
        with _counted("scenes", whole.total) as advance:
            write_images(out_dir, whole, advance)
        parts = (out_dir / part for part in ("train", "test"))
        train, test = (f"{part / 'labelTxt'} {part / 'images'}" for part in parts)
        out.print(
            f"wrote {whole.total} images to {out_dir}; next: classify detect train {train} --test "
            f"{test} --set detector=rotated-retinanet"
        )
        return
    settings = settings_of(ScenesSettings, config, set_, seed=seed, modality=modality)
    counts = count_scenes(settings)
    if dry_run:
        show_plan(settings, f"{counts.total} chips into {out_dir}")
    with _counted("scenes", counts.total) as advance:
        write_scenes(out_dir, settings, advance)
    data = out_dir / "eo" if "," in settings.modality else out_dir
    out.print(f"wrote {counts.total} scenes to {out_dir}; next: tgn split {data}")


@contextmanager
def _counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar for work that tells how much of it is done."""
    progress = TerminalProgress()
    progress.start(title, total)
    shown = 0

    def advance(done: int) -> None:
        nonlocal shown
        progress.advance(done - shown)
        shown = done

    yield advance
    progress.stop()


@app.command("chips", epilog=ChipSettings.help_text())
def chips_verb(
    annotations: Annotated[Path, typer.Argument(metavar="ANN", help="COCO .json, or a folder.")],
    images: Annotated[Path, typer.Argument(help="Folder of the annotated images.")],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Crop the objects of detection data (COCO, DOTA labelTxt, VOC) into an image folder."""
    settings = settings_of(ChipSettings, config, set_, seed=seed)
    detections = read_annotations(annotations, images)
    for problem in detections.problems:
        err.print(f"left out: {problem}", markup=False)
    if dry_run:
        show_plan(settings, f"{len(detections.objects)} objects into {out_dir}")
    counts = cut_chips(detections, out_dir, settings, TerminalProgress())
    out.print(f"wrote {sum(counts.values())} chips to {out_dir}; next: tgn split {out_dir}")


@app.command("split", epilog=SplitSettings.help_text())
def split_verb(
    data: Annotated[Path, typer.Argument(help="Folder or .zip: class folders, or train/ + test/.")],
    run: Annotated[str, typer.Option("--run", help="Name of the new run.")] = "run",
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Make a run: count classes, fix class order, head and tail, train/validation/test parts."""
    settings = settings_of(SplitSettings, config, set_, seed=seed)
    if dry_run:
        _show_split(plan_split(data, settings, TerminalProgress()))
        show_plan(settings, f"run {run!r} in {runs_root()}")
    made, split = split_run(data, run, settings, TerminalProgress())
    _show_split(split)
    out.print(f"run {made.name!r} is in {made.path}; next: tgn distill")


@app.command("distill", epilog=DistillSettings.help_text())
def distill_verb(
    run: RunOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train the head and tail nets on one another (KMDN) and write the tail feature bank."""
    from tgn.kmdn.stage import distill

    settings = settings_of(DistillSettings, config, set_, seed=seed, device=device)
    found = find_run(run)
    if dry_run:
        show_plan(settings, f"KMDN on {sum(found.split().counts)} images, run {found.name!r}")
    result = distill(found, settings, TerminalProgress(), resume)
    table = Table("net", "tail before", "tail after", "head before", "head after")
    for name, row in result.rows().items():
        table.add_row(name, *(f"{value:.3f}" for value in row))
    out.print(table)
    out.print("accuracy on the held-out test part; next: tgn train")


@app.command("train", epilog=TrainSettings.help_text())
def train_verb(
    backend_name: Annotated[
        str, typer.Option("--backend", help=f"What draws: {', '.join(BACKENDS)}.")
    ] = "cdtg",
    model: Annotated[
        str | None, typer.Option(help="Of stable-diffusion: a name on the hub, or a folder.")
    ] = None,
    run: RunOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train the generator of tail images on the run's data and tail features.

    The settings below are CDTG's; those of another backend: --backend NAME --dry-run.
    """
    chosen = backend(backend_name)
    settings = settings_of(
        chosen.train_settings, config, set_, seed=seed, device=device, model=model
    )
    found = find_run(run)
    if dry_run:
        show_plan(settings, f"train {chosen.title} in run {found.name!r}")
    chosen.train(found, settings, TerminalProgress(), resume)
    folder = (found.path / chosen.weights).parent
    out.print(f"generator and grids are in {folder}; next: tgn generate --class all")


@app.command("import")
def import_verb(
    file: Annotated[Path, typer.Argument(help="A published TGN checkpoint, e.g. 200000.pt.")],
    run: RunOption = None,
) -> None:
    """Take over a published TGN generator into a run that has been split and distilled."""
    from tgn.generation.cdtg.importing import import_generator

    found = find_run(run)
    imported = import_generator(found, file)
    names = [found.split().classes[k].folder for k in imported.classes]
    out.print(
        f"{imported.path}: {imported.size} px, published labels 0, 1, ... are {', '.join(names)}; "
        "next: tgn generate --class all --noise 1",
        markup=False,
    )


@app.command("generate", epilog=DrawSettings.help_text())
def generate_verb(
    class_: Annotated[
        str, typer.Option("--class", help="Tail class: folder, place in the tail, or all.")
    ],
    noise: Annotated[
        float | None, typer.Option(help="r: 0 redraws the source, 1 forgets it.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", help="Images a class.")] = None,
    backend_name: Annotated[
        str | None, typer.Option("--backend", help="What draws; default: what was trained last.")
    ] = None,
    run: RunOption = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Another folder.")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Draw images of a tail class, or of all; continues where it was stopped."""
    from tgn.generation.generate import Request, generate

    found = find_run(run)
    split = found.split()
    chosen = tuple(split.tail_classes) if class_ == "all" else (split.tail_class(class_),)
    drawer = trained_backend(found, backend_name)
    settings = settings_of(
        drawer.draw_settings, config, set_, seed=seed, device=device, noise=noise, n=n
    )
    if class_ != "all":
        err.print(f"--class {class_} is class {split.classes[chosen[0]].folder!r}", markup=False)
    folder = out_dir or found.path / "generated"
    studio = drawer.open_studio(found, settings)
    if dry_run:
        show_plan(settings, f"{len(chosen)} classes into {folder}, drawn by {drawer.title}")
    request = Request(chosen, folder, settings)
    counts = generate(found, studio, request, TerminalProgress(), resume)
    for name, count in counts.items():
        out.print(f"{count} images of {name} in {folder / name}", markup=False)
    out.print("next: tgn score; classify train --augmented")


@app.command("score", epilog=ScoreSettings.help_text())
def score_verb(
    folder: Annotated[
        Path | None, typer.Argument(help="Images and manifest; default: the run's.")
    ] = None,
    run: RunOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Measure generated images: FID, KID, diversity (LPIPS), agreement, copies; per class."""
    from tgn.scoring.score import score_run

    settings = settings_of(ScoreSettings, config, set_, seed=seed, device=device)
    found = find_run(run)
    if dry_run:
        show_plan(settings, f"scores of {folder or found.path / 'generated'}")
    scores, path = score_run(found, settings, folder, TerminalProgress())
    table = Table(*COLUMNS)
    for row in table_rows(scores):
        table.add_row(*row)
    out.print(table)
    for metric, remedy in scores.not_computed.items():
        out.print(f"not computed: {metric}: {remedy}", markup=False)
    out.print(f"all numbers, with how they were made: {path}", markup=False)


@app.command("filter", epilog=FilterSettings.help_text())
def filter_verb(
    folder: Annotated[
        Path | None, typer.Argument(help="Images, with a manifest or in class folders.")
    ] = None,
    run: RunOption = None,
    off: Annotated[bool, typer.Option("--off", help="Let all images count again.")] = False,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Keep generated images that look like their class, are no copies and no repeats.

    Nothing is deleted: a filtered manifest says which count for score and classify.
    """
    from tgn.scoring.filter import filter_run, forget_filter

    settings = settings_of(FilterSettings, config, set_, device=device)
    found = find_run(run)
    place = folder or found.path / "generated"
    if off:
        there = forget_filter(place)
        out.print(f"all images of {place} count" + ("" if there else "; there was no filter"))
        return
    if dry_run:
        show_plan(settings, f"filter of {place}")
    result, place = filter_run(found, settings, folder, TerminalProgress())
    counts = result.counts()
    reasons = sorted({reason for row in counts.values() for reason in row} - {KEPT})
    table = Table("class", "images", KEPT, *reasons)
    for name, row in counts.items():
        images = sum(1 for entry in result.rows if entry.folder == name)
        table.add_row(name, str(images), *(str(row[column]) for column in (KEPT, *reasons)))
    out.print(table)
    for judge, remedy in result.skipped.items():
        out.print(f"not asked: {judge}: {remedy}", markup=False)
    out.print(
        f"kept and dropped images: {place / FILTER_GRID}; all again: tgn filter --off", markup=False
    )


@app.command("report")
def report_verb(run: RunOption = None) -> None:
    """Write one self-contained HTML page about a run."""
    from tgn.report.page import write_report

    out.print(f"report: {write_report(find_run(run))}", markup=False)


@app.command("app")
def app_verb(
    run: RunOption = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others may look in.")] = LOOPBACK,
    port: Annotated[int | None, typer.Option(help="Default: the first free from 7860.")] = None,
    device: DeviceOption = None,
) -> None:
    """Open a page in the browser: draw images live, look through generated ones, drop bad ones."""
    from tgn.app.page import serve

    serve(find_run(run), host, port, device or "auto")


@app.command("demo")
def demo_verb(seed: SeedOption = None, dry_run: DryRunOption = False) -> None:
    """Run everything on the built-in data, 12 to 25 minutes on two cores."""
    for command in demo.commands(runs_root(), seed or 0):
        err.print(f"$ {' '.join(command)}", style="bold", markup=False)
        if not dry_run and (code := demo.run_command(command)):
            raise typer.Exit(code)


def _show_split(split: Split) -> None:
    for line in histogram_rows(split):
        out.print(line, markup=False)
    for note in split.notes:
        err.print(f"note: {note}", markup=False)


def main() -> None:
    """Run the command line and exit."""
    run_app(app)
