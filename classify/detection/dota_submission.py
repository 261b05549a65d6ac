"""Detections as the files that DOTA's evaluation server takes."""

from collections import Counter
from pathlib import Path

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import to_corners
from classify.detection.dataset import DetectionDataset
from tgn.runtime.errors import UserError
from tgn.runtime.files import write_text


def write_submission(
    folder: Path, data: DetectionDataset, detections: list[Detections]
) -> list[Path]:
    """Write one file a class, ``Task1_<class>.txt``, or ``Task2_`` for upright boxes.

    A line of task 1 is: image score x1 y1 x2 y2 x3 y3 x4 y4; of task 2: image score left top right
    bottom; in pixels. Source: the DOTA evaluation server's description.

    Args:
        folder: gets the files.
        data: the images.
        detections: of each image, in the order of ``data``.

    Returns:
        The files.

    Raises:
        UserError: if two images have one name: the server knows them by their names alone.
    """
    stems = Counter(image.path.stem for image in data.images)
    if repeated := [stem for stem, count in stems.items() if count > 1]:
        raise UserError(
            f"several images are called {repeated[0]} ({len(repeated)} such names); rename them: a "
            "submission tells images by their names alone"
        )
    is_rotated = any(one.boxes.shape[1] == 5 for one in detections)
    lines: dict[str, list[str]] = {name: [] for name in data.classes}
    for image, found in zip(data.images, detections, strict=True):
        coordinates = to_corners(found.boxes).flatten(1) if is_rotated else found.boxes
        for row, label, score in zip(
            coordinates.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        ):
            numbers = " ".join(f"{value:.1f}" for value in row)
            lines[data.classes[label]].append(f"{image.path.stem} {score:.4f} {numbers}")
    task = "Task1" if is_rotated else "Task2"
    paths = []
    for name, rows in lines.items():
        paths.append(folder / f"{task}_{name}.txt")
        write_text(paths[-1], "".join(f"{row}\n" for row in rows))
    return paths
