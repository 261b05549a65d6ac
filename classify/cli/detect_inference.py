"""Verbs that use trained detectors: evaluate, predict."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.cli.detectors import (
    ImagesArgument,
    LabelsArgument,
    NameOption,
    SkipUnknownOption,
    detector_file,
    read_dataset,
    show_average_precision,
)
from tgn.runtime.command_options import DeviceOption
from tgn.runtime.console import TerminalProgress, err, out
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.settings import ComputeSettings

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from classify.detection.evaluation.results.write import ResultTargets
    from tgn.data.annotations.coco import CocoIds

app = typer.Typer()
CsvOption = Annotated[
    Path | None, typer.Option("--csv", help="File: a line a detection, in pixels.")
]
CocoOption = Annotated[Path | None, typer.Option("--coco", help="File: COCO's list of results.")]
SubmissionOption = Annotated[
    Path | None, typer.Option("--submission", help="Folder that gets files for DOTA's server.")
]
EveryScore = Annotated[
    float, typer.Option("--min-score", min=0, max=1, help="Detections below it are left out.")
]


@app.command("evaluate")
def evaluate_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    name: NameOption = None,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score", min=0, max=1, help="Of confusion, kinds of errors, pictures; not of AP."
        ),
    ] = 0.5,
    csv: CsvOption = None,
    coco: CocoOption = None,
    submission: SubmissionOption = None,
    skip_unknown: SkipUnknownOption = False,
    device: DeviceOption = None,
) -> None:
    """Evaluate a detector on annotated images: AP by three rules, classes, errors, a page."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.evaluation.evaluate import detect_dataset
    from classify.detection.evaluation.report_files import with_ending, write_evaluation
    from classify.detection.evaluation.results.write import ResultTargets, Source, result_files
    from tgn.runtime.devices import Device

    file = detector_file(name)
    net, spec = load_detector(file)
    data = read_dataset(
        labels, images, spec.classes, rotated=spec.is_rotated, skip_unknown=skip_unknown
    )
    targets = ResultTargets(csv, coco, submission)
    _check_targets(targets, [labels, images])
    ids = _ids(labels, images, spec.classes) if coco is not None else None
    paths = [image.path for image in data.images]
    where = Device(ComputeSettings.resolve(device=device, precision="float32"))
    source = Source(images, paths, data.classes, spec.is_rotated, ids)
    with result_files(targets, source) as files:
        detections = detect_dataset(where.place(net), spec, data, where, TerminalProgress())
        for path, found in zip(paths, detections, strict=True):
            files.add(path, found)
    _show_written(targets)
    part = _name_of(labels)
    path = file.with_name(f"{file.stem}-on-{part}")
    title = f"{file.parent.name if file.stem == 'detector' else file.stem} on {part}"
    show_average_precision(write_evaluation(path, title, data, detections, min_score))
    written = [with_ending(path, ending) for ending in (".json", ".csv", ".html")]
    out.print(", ".join(str(one) for one in written if one.is_file()), markup=False)


def _name_of(labels: Path) -> str:
    source = labels.resolve()
    return source.stem if source.is_file() else f"{source.parent.name}-{source.name}"


def _check_targets(targets: "ResultTargets", inputs: list[Path]) -> None:
    """Refuse to write over what is read, or one file twice."""
    written = [path.resolve() for path in targets.all]
    for path in written:
        if path in [one.resolve() for one in inputs] or written.count(path) > 1:
            raise UserError(f"{path} would be written over; name another file for results")


def _ids(labels: Path, images: Path, classes: tuple[str, ...]) -> "CocoIds | None":
    """Return the ids of COCO labels; None for labels of another format."""
    from tgn.data.annotations.coco import read_coco_ids

    if not labels.is_file():
        return None
    ids = read_coco_ids(labels, images)
    if absent := [one for one in classes if one.casefold() not in ids.categories]:
        err.print(
            f"note: {labels} has no category {', '.join(absent)}: detections of it are not in the "
            "COCO results",
            markup=False,
        )
    return ids


def _show_written(targets: "ResultTargets") -> None:
    for path in targets.all:
        out.print(f"detections: {path}", markup=False)


@app.command("predict")
def predict_verb(
    images: Annotated[Path, typer.Argument(help="Folder of images, of any number and size.")],
    results: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A .csv, a .json (COCO), or a folder (DOTA's files)."),
    ],
    name: NameOption = None,
    min_score: EveryScore = 0.05,
    csv: CsvOption = None,
    coco: CocoOption = None,
    submission: SubmissionOption = None,
    device: DeviceOption = None,
) -> None:
    """Detect in a folder of images without labels; results are written as they come.

    Images that cannot be read are named on stderr, the others are written, and the exit code is 2.
    An interrupted call leaves nothing; call it again.
    """
    from classify.detection.checkpoints import load_detector
    from classify.detection.evaluation.inference import detect_images, unlabelled
    from classify.detection.evaluation.results.write import ResultTargets, Source, result_files
    from tgn.runtime.devices import Device

    net, spec = load_detector(detector_file(name))
    broken: list[str] = []

    def skip(problem: str) -> None:
        broken.append(problem)
        err.print(f"left out: {problem}", markup=False)

    targets = _with_main(results, ResultTargets(csv, coco, submission))
    _check_targets(targets, [images])
    paths = _images_in(images, skip)
    where = Device(ComputeSettings.resolve(device=device, precision="float32"))
    progress = TerminalProgress()
    source = Source(images, paths, spec.classes, spec.is_rotated)
    with result_files(targets, source) as files:
        progress.start("detect", len(paths))

        def leave_out(error: DataError) -> None:
            skip(str(error))
            progress.advance()

        inputs = map(unlabelled, paths)
        for image, found in detect_images(
            where.place(net), spec, inputs, where, on_broken=leave_out
        ):
            files.add(image.path, found.with_score(min_score))
            progress.advance()
    _show_written(targets)
    if broken:
        raise DataError(f"{len(broken)} could not be read, see above; the others are written")


def _with_main(results: Path, others: "ResultTargets") -> "ResultTargets":
    """Return where results go, with the one that is named first: its ending says in which form."""
    forms = {".csv": "csv", ".json": "coco", "": "submission"}
    form = "submission" if results.is_dir() else forms.get(results.suffix.lower())
    if form is None:
        raise UserError(
            f"{results}: expected a name that ends in .csv or .json (COCO), or a folder for the "
            "files of DOTA's server"
        )
    if getattr(others, form) is not None:
        raise UserError(f"{results} and --{form} are two files of one form; leave one of them out")
    return replace(others, **{form: results})


def _images_in(folder: Path, skip: Callable[[str], None]) -> list[Path]:
    """Return the images at any depth, sorted; what should be one and cannot be read is skipped."""
    from tgn.data.image_files import images_below

    if not folder.is_dir():
        raise NotFoundError(f"no image folder {folder}")
    found = images_below(folder)
    for path, reason in found.broken:
        skip(f"{path}: {reason}")
    if not found.images:
        raise NotFoundError(f"no images in {folder}")
    return found.images
