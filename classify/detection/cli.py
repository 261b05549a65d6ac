"""The command ``classify detect``: detectors of upright boxes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from classify.detection.settings import DetectSettings
from tgn.core.console import (
    ConfigOption,
    DeviceOption,
    DryRunOption,
    ResumeOption,
    SeedOption,
    SetOption,
    TerminalProgress,
    err,
    out,
    settings_of,
    show_plan,
)
from tgn.core.files import write_json
from tgn.core.runs import runs_root
from tgn.core.settings import ComputeSettings

if TYPE_CHECKING:  # what is of torch is imported by the verbs: --help must not wait for it
    from classify.detection.scenes import Scenes

app = typer.Typer(
    no_args_is_help=True,
    help="Train detectors on COCO, Pascal VOC or DOTA labels, judge them, draw what they find.",
)

LabelsArgument = Annotated[
    Path, typer.Argument(help="COCO .json, or a folder of VOC .xml or DOTA .txt files.")
]
ImagesArgument = Annotated[Path, typer.Argument(help="Folder of the labelled images.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the detector.")]
SHOWN = ("ap", "ap50", "ap75", "ap90")
PROBLEMS_SHOWN = 10


@app.command("train", epilog=DetectSettings.help_text())
def train_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    test: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="LABELS IMAGES", help="Test part; default: held out by image."),
    ] = None,
    name: NameOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train a detector and judge it on the test part."""
    from classify.detection.scenes import held_out
    from classify.detection.stage import train_detector

    settings = settings_of(DetectSettings, config, set_, seed=seed, device=device)
    data = _scenes(labels, images)
    if test is None:
        parts = held_out(data, settings.test_fraction, settings.seed)
    else:
        parts = data, _scenes(*test, classes=data.classes)
    directory = _directory(name or f"{settings.detector}-{settings.backbone}")
    counts = " and ".join(str(len(part.scenes)) for part in parts)
    if dry_run:
        show_plan(settings, f"train {directory} on {counts} images")
    err.print(f"{counts} images train and test; classes: {', '.join(data.classes)}", markup=False)
    _show(train_detector(parts, directory, settings, TerminalProgress(), resume))
    out.print(f"detector and measures: {directory}", markup=False)


@app.command("evaluate")
def evaluate_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    name: NameOption = None,
    device: DeviceOption = None,
) -> None:
    """Judge a trained detector on labelled images, by the VOC 2007, VOC 2012 and COCO rules."""
    from classify.detection.stage import CHECKPOINT, evaluate_detector, load_detector
    from tgn.core.devices import Device

    net, facts = load_detector(_trained(name) / CHECKPOINT)
    data = _scenes(labels, images, classes=facts.classes)
    where = Device(ComputeSettings.resolve(device=device, precision="float32"))
    result = evaluate_detector(where.place(net), data, where, TerminalProgress())
    path = _trained(name) / f"{labels.stem}.json"
    write_json(path, result)
    _show(result)
    out.print(f"all thresholds and classes: {path}", markup=False)


@app.command("show")
def show_verb(  # noqa: PLR0913
    labels: LabelsArgument,
    images: ImagesArgument,
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the pictures.")],
    name: NameOption = None,
    truth: Annotated[bool, typer.Option("--truth", help="Only what is labelled.")] = False,
    rotated: Annotated[bool, typer.Option("--rotated", help="Keep the labels' angle.")] = False,
    least: Annotated[float, typer.Option(help="Least score that is drawn.")] = 0.5,
    most: Annotated[int, typer.Option(help="How many images, from the first.")] = 12,
    device: DeviceOption = None,
) -> None:
    """Draw what is labelled (white) and what a detector finds (coloured by class, with scores)."""
    from classify.detection.drawing import draw_scene
    from classify.detection.scenes import Scenes
    from classify.detection.stage import CHECKPOINT, found_in, load_detector
    from tgn.core.devices import Device

    found, classes = None, None
    if not truth:
        net, facts = load_detector(_trained(name) / CHECKPOINT)
        classes = facts.classes
    data = _scenes(labels, images, classes=classes, rotated=rotated)
    data = Scenes(data.classes, data.scenes[:most])
    if not truth:
        where = Device(ComputeSettings.resolve(device=device, precision="float32"))
        found = found_in(where.place(net), data, where, TerminalProgress())
    for place, scene in enumerate(data.scenes):
        draw_scene(scene, found[place] if found else None, data.classes, out_dir, least)
    out.print(f"{len(data.scenes)} pictures in {out_dir}", markup=False)


def _scenes(
    labels: Path, images: Path, classes: tuple[str, ...] | None = None, rotated: bool = False
) -> "Scenes":
    from classify.detection.scenes import scenes_of
    from tgn.core.annotations import read_annotations

    found = read_annotations(labels, images)
    for problem in found.problems[:PROBLEMS_SHOWN]:
        err.print(f"left out: {problem}", markup=False)
    if (more := len(found.problems) - PROBLEMS_SHOWN) > 0:
        err.print(f"... and {more} more", markup=False)
    return scenes_of(found, rotated, classes)


def _directory(name: str) -> Path:
    return runs_root() / "detect" / name


def _trained(name: str | None) -> Path:
    from classify.detection.stage import CHECKPOINT
    from tgn.core.errors import NotFoundError

    found = {
        path.parent.name: path.parent for path in _directory("*").parent.glob(f"*/{CHECKPOINT}")
    }
    if not found:
        raise NotFoundError(f"no detector in {_directory('')}; make one: classify detect train")
    if name is None:
        return max(found.values(), key=lambda path: (path / CHECKPOINT).stat().st_mtime_ns)
    if name not in found:
        raise NotFoundError(f"no detector {name!r}; there are: {', '.join(sorted(found))}")
    return found[name]


def _show(result: dict[str, dict[str, float | None]]) -> None:
    table = Table("rule", *(column.upper() for column in SHOWN))
    for rule in ("voc07", "voc12", "coco"):
        values = (result[rule][column] for column in SHOWN)
        table.add_row(rule, *("-" if value is None else f"{100 * value:.1f}" for value in values))
    out.print(table)
    out.print(f"percent, mean over classes, {result['images']} images; AP: over IoU 0.50 to 0.95")
