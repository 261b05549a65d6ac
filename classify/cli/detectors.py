"""What the verbs of detectors share: arguments that name data, files of detectors, a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from tgn.runtime.console import err, out, show_left_out
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.names import folder_name

if TYPE_CHECKING:  # what needs torch is imported by the verbs: --help must not wait for it
    from classify.detection.data.dataset import DetectionDataset

LabelsArgument = Annotated[
    Path,
    typer.Argument(
        help="COCO .json, a folder of VOC .xml, DOTA or YOLO .txt, or VOC's ImageSets/Main/*.txt."
    ),
]
ImagesArgument = Annotated[Path, typer.Argument(help="Folder of the annotated images.")]
SkipUnknownOption = Annotated[
    bool,
    typer.Option("--skip-unknown", help="Leave out objects of classes that the training lacks."),
]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the detector.")]
RULES = ("voc07", "voc12", "coco")
COLUMNS = ("ap", "ap50", "ap75", "ap90")


def read_dataset(
    labels: Path,
    images: Path,
    classes: tuple[str, ...] | None = None,
    rotated: bool = False,
    all_problems: bool = False,
    skip_unknown: bool = False,
    more: Sequence[Path] = (),
) -> "DetectionDataset":
    """Read annotated images; what is left out is shown on stderr, all of it or the first few.

    Args:
        labels: of the images.
        images: their folder.
        classes: their order, where a training has set it.
        rotated: whether boxes keep their angle.
        all_problems: whether all is shown that is left out.
        skip_unknown: whether objects of other classes are left out.
        more: labels and images of further sources, in turn.

    Raises:
        UserError: for labels without images in ``more``.
    """
    from classify.detection.data.dataset import make_dataset, without_unknown
    from tgn.data.annotations.readers import read_sources

    if len(more) % 2:
        raise UserError(f"{more[-1]} got no IMAGES; each source is a pair LABELS IMAGES")
    annotations = read_sources([(labels, images), *zip(more[::2], more[1::2], strict=True)])
    if skip_unknown and classes is not None:
        annotations = without_unknown(annotations, classes)
    show_left_out(annotations.problems, all_problems, "classify detect train --dry-run lists all")
    for note in annotations.notes:
        err.print(f"note: {note}", markup=False)
    if not annotations.images:
        raise DataError(f"no image in {images} has labels in {labels}; see what was left out")
    data = make_dataset(annotations, rotated, classes)
    if rotated and annotations.objects and not data.has_oblique_boxes:
        err.print("warning: no annotated box is rotated; DOTA's and DIOR-R's labels have angles")
    return data


def detector_folder(name: str) -> Path:
    """Return the folder of the detector ``name``, trained or to be trained."""
    from classify.detection.checkpoints import detectors_root

    return detectors_root() / folder_name(name, "--name")


def detector_file(name: str | None) -> Path:
    """Return the file of a detector: named by path or by name, else the one trained last.

    Raises:
        NotFoundError: if there is none, with the names that exist.
    """
    from classify.detection.checkpoints import find_detector

    return find_detector(name)


def show_average_precision(result: dict[str, Any]) -> None:
    """Show average precision of each class and, by every rule, the means over classes."""
    table = Table("class", "objects", "detections", *(f"AP50 {rule}" for rule in RULES))
    for row in result["by_class"]:
        values = (percent(row[f"{rule}_ap50"]) for rule in RULES)
        table.add_row(row["class"], str(row["objects"]), str(row["detections"]), *values)
    out.print(table)
    table = Table("rule", *(column.upper() for column in COLUMNS))
    for rule in RULES:
        table.add_row(rule, *(percent(result[rule][column]) for column in COLUMNS))
    out.print(table)
    out.print(f"percent, mean over classes, {result['images']} images; AP: over IoU 0.50 to 0.95")


def percent(value: float | None) -> str:
    """Return a share in [0, 1] as percent, "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"
