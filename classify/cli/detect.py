"""The command ``classify detect``: detectors of upright and rotated boxes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from classify.detection.settings import DetectSettings
from tgn.data.runs import check_name, runs_root
from tgn.runtime.console import (
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
from tgn.runtime.errors import UserError
from tgn.runtime.files import write_json
from tgn.runtime.settings import ComputeSettings

if TYPE_CHECKING:  # what is of torch is imported by the verbs: --help must not wait for it
    from classify.detection.dataset import Scenes

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
    distill: Annotated[
        str | None, typer.Option(help="l2, lsh, lshl2 (torchvision's), kd, ld, ld+kd (dense).")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Name or file of a trained detector of the same kind.")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    dry_run: DryRunOption = False,
    resume: ResumeOption = True,
) -> None:
    """Train a detector and judge it on the test part."""
    from classify.detection.checkpoints import facts_of
    from classify.detection.dataset import held_out
    from classify.detection.train import check_resume, prepared, train_detector

    settings = settings_of(DetectSettings, config, set_, seed=seed, device=device, distill=distill)
    is_rotated = settings.detector == "rotated-retinanet"
    master = _file_of(teacher) if teacher else None
    known = facts_of(master).classes if master else None  # the order that the student takes too
    data = _scenes(labels, images, classes=known, rotated=is_rotated, all_problems=dry_run)
    if test is None:
        parts = held_out(data, settings.test_fraction, settings.split_seed)
    else:
        parts = data, _scenes(*test, classes=data.classes, rotated=is_rotated)
        _warn_of_shared(*parts)
    plain = f"{settings.detector}-{settings.backbone}"
    directory = _directory(name or (f"{plain}-{settings.distill}" if settings.is_taught else plain))
    counts = " and ".join(str(len(part.scenes)) for part in parts)
    training = prepared(parts, directory, settings, TerminalProgress(), resume, master)
    if dry_run:
        check_resume(training)
        show_plan(settings, f"train {directory} on {counts} images")
    err.print(f"{counts} images train and test; classes: {', '.join(data.classes)}", markup=False)
    result = train_detector(training)
    if result:  # one process of a job judges
        _show(result)
        out.print(f"detector and measures: {directory}", markup=False)


@app.command("evaluate")
def evaluate_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    name: NameOption = None,
    submission: Annotated[
        Path | None, typer.Option(help="Folder that gets files for DOTA's server.")
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Judge a trained detector on labelled images, by the VOC 2007, VOC 2012 and COCO rules."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.dota_submission import write_submission
    from classify.detection.evaluate import found_in, judge
    from tgn.runtime.devices import Device

    file = _file_of(name)
    net, facts = load_detector(file)
    data = _scenes(labels, images, classes=facts.classes, rotated=facts.is_rotated)
    where = Device(ComputeSettings.resolve(device=device, precision="float32"))
    found = found_in(where.place(net), facts, data, where, TerminalProgress())
    if submission is not None:
        written = write_submission(submission, data, found)
        out.print(f"{len(written)} files in {submission}", markup=False)
    result = judge(data, found)
    place = labels.resolve()
    part = place.stem if place.is_file() else f"{place.parent.name}-{place.name}"
    path = file.with_name(f"{file.stem}-on-{part}.json")
    write_json(path, result)
    _show(result)
    out.print(f"all thresholds and classes: {path}", markup=False)


@app.command("show")
def show_verb(
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
    from classify.detection.checkpoints import load_detector
    from classify.detection.dataset import Scenes
    from classify.detection.evaluate import found_in
    from classify.detection.visualize import draw_scene
    from tgn.runtime.devices import Device

    if out_dir.resolve() == images.resolve():
        raise UserError(f"{out_dir} holds the images themselves; name another folder for pictures")
    found, classes = None, None
    if not truth:
        net, facts = load_detector(_file_of(name))
        classes, rotated = facts.classes, facts.is_rotated
    data = _scenes(labels, images, classes=classes, rotated=rotated)
    data = Scenes(data.classes, data.scenes[:most])
    if not truth:
        where = Device(ComputeSettings.resolve(device=device, precision="float32"))
        found = found_in(where.place(net), facts, data, where, TerminalProgress())
    for place, scene in enumerate(data.scenes):
        draw_scene(scene, found[place] if found else None, data.classes, out_dir, least)
    out.print(f"{len(data.scenes)} pictures in {out_dir}", markup=False)


@app.command("publish")
def publish_verb(
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="A .safetensors file.")],
    name: Annotated[str, typer.Option("--name", help="Name of the training, finished or not.")],
) -> None:
    """Strip a training's last checkpoint to the detector: no optimiser, no teacher."""
    from classify.detection.checkpoints import publish
    from tgn.runtime.training_loop import STATE

    steps = publish(_directory(name), out_file)
    before, after = ((file.stat().st_size / 2**20) for file in (_directory(name) / STATE, out_file))
    out.print(f"{out_file}: {steps} steps, {before:.0f} MiB -> {after:.0f} MiB", markup=False)


def _scenes(
    labels: Path,
    images: Path,
    classes: tuple[str, ...] | None = None,
    rotated: bool = False,
    all_problems: bool = False,
) -> "Scenes":
    from classify.detection.dataset import scenes_of
    from tgn.data.annotations.readers import read_annotations

    found = read_annotations(labels, images)
    shown = len(found.problems) if all_problems else PROBLEMS_SHOWN
    for problem in found.problems[:shown]:
        err.print(f"left out: {problem}", markup=False)
    if (more := len(found.problems) - shown) > 0:
        err.print(f"... and {more} more; classify detect train --dry-run lists all", markup=False)
    data = scenes_of(found, rotated, classes)
    if rotated and found.objects and not data.has_turned_boxes:
        err.print("warning: no labelled box is turned; DOTA's and DIOR-R's labels have angles")
    return data


def _warn_of_shared(train: "Scenes", test: "Scenes") -> None:
    learned = {scene.image.resolve() for scene in train.scenes}
    if both := sum(scene.image.resolve() in learned for scene in test.scenes):
        err.print(f"warning: {both} test images are trained on; what is measured is no test")


def _directory(name: str) -> Path:
    check_name(name, "--name")
    return _root() / name


def _root() -> Path:
    return runs_root() / "detect"


def _file_of(name: str | None) -> Path:
    """The file of a detector: one that is named, of a training that is named, or the last one."""
    from classify.detection.checkpoints import CHECKPOINT
    from tgn.runtime.errors import NotFoundError

    if name is not None and Path(name).is_file():
        return Path(name)
    found = {path.parent.name: path for path in _root().glob(f"*/{CHECKPOINT}")}
    if not found:
        raise NotFoundError(f"no detector in {_root()}; make one: classify detect train")
    if name is None:
        return max(found.values(), key=lambda path: path.stat().st_mtime_ns)
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
