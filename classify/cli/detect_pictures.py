"""The verb that draws labels and detections: show."""

from collections import Counter
from collections.abc import Sequence
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
)
from tgn.runtime.command_options import DeviceOption
from tgn.runtime.console import TerminalProgress, out
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.settings import ComputeSettings

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from classify.detection.average_precision import Detections
    from classify.detection.data.dataset import DetectionDataset

app = typer.Typer()


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
    image: Annotated[
        list[str] | None, typer.Option("--image", help="Draw this image; repeatable.")
    ] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", help="Draw the images that a file names, one a line.")
    ] = None,
    worst: Annotated[
        bool, typer.Option("--worst", help="Lowest F1 at --min-score first; detects in all images.")
    ] = False,
    min_score: Annotated[
        float, typer.Option("--min-score", "--least", help="Lowest score that is drawn.")
    ] = 0.5,
    max_images: Annotated[
        int, typer.Option("--max-images", "--most", min=1, help="Number of images, from the first.")
    ] = 12,
    skip_unknown: SkipUnknownOption = False,
    device: DeviceOption = None,
) -> None:
    """Draw annotations (white) and detections (coloured by class, with scores) into pictures."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.evaluation.chosen_images import (
        check_names,
        choose_images,
        first_images,
        order_of_worst,
    )
    from classify.detection.evaluation.evaluate import detect_dataset
    from tgn.runtime.devices import Device

    _check(out_dir, images, worst, annotations_only)
    in_list = _names_in(listed) if listed else []
    net, spec = (None, None) if annotations_only else load_detector(detector_file(name))
    classes, rotated = (spec.classes, spec.is_rotated) if spec else (None, rotated)
    data = read_dataset(labels, images, classes, rotated, skip_unknown=skip_unknown)
    if in_list or image:
        check_names(data, in_list, f" (of {listed})")
        data = choose_images(data, [*(image or ()), *in_list])
    elif not worst:
        data = first_images(data, max_images)
    detections = None
    if net is not None and spec is not None:
        where = Device(ComputeSettings.resolve(device=device, precision="float32"))
        detections = detect_dataset(where.place(net), spec, data, where, TerminalProgress())
    order = list(range(len(data.images)))
    if worst and detections is not None:
        order = order_of_worst(data, detections, min_score)[:max_images]
        out.print("worst first: " + ", ".join(data.images[k].path.name for k in order))
    _draw(data, detections, order, out_dir, min_score)


def _check(out_dir: Path, images: Path, worst: bool, annotations_only: bool) -> None:
    if out_dir.resolve() == images.resolve():
        raise UserError(f"{out_dir} holds the images themselves; name another folder for pictures")
    if worst and annotations_only:
        raise UserError("--worst needs detections; leave --annotations-only out")


def _draw(
    data: "DetectionDataset",
    detections: "Sequence[Detections] | None",
    order: Sequence[int],
    out_dir: Path,
    min_score: float,
) -> None:
    """Draw some images of a data set, by their numbers."""
    from classify.detection.evaluation.visualize import draw_boxes

    stems = Counter(one.path.stem for one in data.images)
    for index in order:
        shown = data.images[index]
        found = detections[index] if detections is not None else None
        folder = out_dir / shown.path.parent.name if stems[shown.path.stem] > 1 else out_dir
        draw_boxes(shown, found, data.classes, folder, min_score)
    out.print(f"{len(order)} pictures in {out_dir}", markup=False)


def _names_in(file: Path) -> list[str]:
    """Return the names in a text file, one a line; empty lines are skipped."""
    from tgn.runtime.text_files import read_text

    if not file.is_file():
        raise NotFoundError(f"no list {file}; expected names of images, one a line")
    names = [line.strip() for line in read_text(file)[0].splitlines() if line.strip()]
    if not names:
        raise DataError(f"{file} names no image; expected names of images, one a line")
    return names
