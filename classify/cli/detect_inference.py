"""Verbs that use trained detectors: evaluate, show."""

from collections import Counter
from pathlib import Path
from typing import Annotated

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
from tgn.runtime.console import TerminalProgress, out
from tgn.runtime.errors import UserError
from tgn.runtime.files import write_json
from tgn.runtime.settings import ComputeSettings

app = typer.Typer()


@app.command("evaluate")
def evaluate_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    name: NameOption = None,
    submission: Annotated[
        Path | None, typer.Option(help="Folder that gets files for DOTA's server.")
    ] = None,
    skip_unknown: SkipUnknownOption = False,
    device: DeviceOption = None,
) -> None:
    """Evaluate a detector on annotated images by the VOC 2007, VOC 2012 and COCO rules."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.dota_submission import write_submission
    from classify.detection.evaluate import detect_dataset, evaluate_detections
    from tgn.runtime.devices import Device

    file = detector_file(name)
    net, spec = load_detector(file)
    data = read_dataset(
        labels, images, spec.classes, rotated=spec.is_rotated, skip_unknown=skip_unknown
    )
    where = Device(ComputeSettings.resolve(device=device, precision="float32"))
    detections = detect_dataset(where.place(net), spec, data, where, TerminalProgress())
    if submission is not None:
        written = write_submission(submission, data, detections)
        out.print(f"{len(written)} files in {submission}", markup=False)
    result = evaluate_detections(data, detections)
    source = labels.resolve()
    part = source.stem if source.is_file() else f"{source.parent.name}-{source.name}"
    path = file.with_name(f"{file.stem}-on-{part}.json")
    write_json(path, result)
    show_average_precision(result)
    out.print(f"all thresholds and classes: {path}", markup=False)


@app.command("show")
def show_verb(
    labels: LabelsArgument,
    images: ImagesArgument,
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the pictures.")],
    name: NameOption = None,
    annotations_only: Annotated[
        bool, typer.Option("--annotations-only", "--truth", help="No detections.")
    ] = False,
    rotated: Annotated[bool, typer.Option("--rotated", help="Keep the labels' angles.")] = False,
    min_score: Annotated[
        float, typer.Option("--min-score", "--least", help="Lowest score that is drawn.")
    ] = 0.5,
    max_images: Annotated[
        int, typer.Option("--max-images", "--most", help="Number of images, from the first.")
    ] = 12,
    skip_unknown: SkipUnknownOption = False,
    device: DeviceOption = None,
) -> None:
    """Draw annotations (white) and detections (coloured by class, with scores) into pictures."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.dataset import DetectionDataset
    from classify.detection.evaluate import detect_dataset
    from classify.detection.visualize import draw_boxes
    from tgn.runtime.devices import Device

    if out_dir.resolve() == images.resolve():
        raise UserError(f"{out_dir} holds the images themselves; name another folder for pictures")
    detections, classes = None, None
    if not annotations_only:
        net, spec = load_detector(detector_file(name))
        classes, rotated = spec.classes, spec.is_rotated
    data = read_dataset(labels, images, classes, rotated, skip_unknown=skip_unknown)
    data = DetectionDataset(data.classes, data.images[:max_images])
    if not annotations_only:
        where = Device(ComputeSettings.resolve(device=device, precision="float32"))
        detections = detect_dataset(where.place(net), spec, data, where, TerminalProgress())
    stems = Counter(image.path.stem for image in data.images)
    for index, image in enumerate(data.images):
        found = detections[index] if detections else None
        folder = out_dir / image.path.parent.name if stems[image.path.stem] > 1 else out_dir
        draw_boxes(image, found, data.classes, folder, min_score)
    out.print(f"{len(data.images)} pictures in {out_dir}", markup=False)
