"""Verbs that train and publish detectors: train, publish."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.cli.detection_recipes import (
    settings_by_recipe,
    show_recipe,
    teacher_by_recipe,
)
from classify.cli.detectors import (
    ImagesArgument,
    LabelsArgument,
    NameOption,
    SkipUnknownOption,
    detector_file,
    detector_folder,
    read_dataset,
    show_average_precision,
)
from classify.detection.settings.detector import DetectSettings
from tgn.runtime.command_options import CommonOptions, settings_command, show_plan
from tgn.runtime.console import TerminalProgress, err, out

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from classify.detection.data.dataset import DetectionDataset
    from classify.detection.data.parts import Parts

app = typer.Typer()


@settings_command(app, "train", DetectSettings, resume=True)
def train_verb(
    common: CommonOptions,
    labels: LabelsArgument,
    images: ImagesArgument,
    more: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[LABELS IMAGES]...", help="Further sources to train on."),
    ] = None,
    test: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="LABELS IMAGES", help="Test part; default: held out by image."),
    ] = None,
    validation: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="LABELS IMAGES",
            help="Validation part: looked at in training, the best weights are kept.",
        ),
    ] = None,
    name: NameOption = None,
    distill: Annotated[
        str | None, typer.Option(help="l2, lsh, lshl2 (torchvision's), kd, ld, ld+kd (dense).")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Teacher: name or file of a detector of the same kind.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="A published training by name, e.g. dota-gwd-r18; what is given wins."),
    ] = None,
    skip_unknown: SkipUnknownOption = False,
) -> None:
    """Train a detector and evaluate it on the test part."""
    from classify.detection.checkpoints import read_spec
    from classify.detection.training.train import check_resume, prepare_training, train_detector

    with common.naming_file():
        settings = settings_by_recipe(common.given(distill=distill), recipe)
    if recipe is not None and common.dry_run:
        show_recipe(recipe, settings)
    teacher = teacher_by_recipe(teacher, recipe)
    teacher_file = None if teacher is None else detector_file(teacher)
    # A student's classes have the order of its teacher's.
    known = read_spec(teacher_file).classes if teacher_file else None
    rotated = settings.is_rotated
    read = functools.partial(
        read_dataset, rotated=rotated, all_problems=common.dry_run, skip_unknown=skip_unknown
    )
    data = read(labels, images, known, more=more or ())
    other = read(*test, data.classes) if test else None
    looked_at = read(*validation, data.classes) if validation else None
    parts = _parts(data, other, looked_at, settings)
    directory = detector_folder(name or recipe or _default_name(settings))
    training = prepare_training(
        parts, directory, settings, TerminalProgress(), common.resume, teacher_file
    )
    counts = " and ".join(str(len(part.images)) for part in training.parts[:2])
    if common.dry_run:
        check_resume(training)
        plan = f"train {directory} on {counts} images; {settings.scale_in_words}"
        show_plan(training.settings.resolved, f"{plan}; {training.in_words}")
    err.print(f"{counts} images train and test; classes: {', '.join(data.classes)}", markup=False)
    err.print(f"{settings.scale_in_words}; {training.in_words}", markup=False)
    result = train_detector(training)
    if result:  # one process of a job evaluates
        show_average_precision(result)
        out.print(f"detector and metrics: {directory}", markup=False)


def _parts(
    data: "DetectionDataset",
    other: "DetectionDataset | None",
    validation: "DetectionDataset | None",
    settings: DetectSettings,
) -> "Parts":
    """Return the training and the test part, all and another data set or a split of one."""
    from classify.detection.data.dataset import split_dataset
    from classify.detection.data.parts import Parts

    if other is None:
        parts = Parts(*split_dataset(data, settings.test_fraction, settings.split_seed), validation)
    else:
        parts = Parts(data, other, validation)
        _warn_of_shared_images(data, other, "test images are trained on; the metrics are no test")
    if validation is not None:
        for part, what in (
            (parts.train, "validation images are trained on; they choose little"),
            (parts.test, "validation images are test images; the metrics are no test"),
        ):
            _warn_of_shared_images(part, validation, what)
    return parts


def _default_name(settings: DetectSettings) -> str:
    return "-".join((settings.detector, settings.backbone, *settings.distillation.values()))


def _warn_of_shared_images(
    first: "DetectionDataset", second: "DetectionDataset", what: str
) -> None:
    known = {image.path.resolve() for image in first.images}
    if both := sum(image.path.resolve() in known for image in second.images):
        err.print(f"warning: {both} {what}", markup=False)


@app.command("publish")
def publish_verb(
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="A .safetensors file.")],
    name: Annotated[str, typer.Option("--name", help="Name of the training, finished or not.")],
) -> None:
    """Write the detector of a training's last checkpoint, without optimiser and teacher."""
    from classify.detection.checkpoints import publish
    from tgn.runtime.training_loop import STATE

    folder = detector_folder(name)
    steps = publish(folder, out_file)
    before, after = (file.stat().st_size / 2**20 for file in (folder / STATE, out_file))
    out.print(f"{out_file}: {steps} steps, {before:.0f} MiB -> {after:.0f} MiB", markup=False)
