"""Detections as the files that DOTA's server takes."""

from pathlib import Path

from classify.detection.average_precision import Found
from classify.detection.boxes.rotated import corners
from classify.detection.dataset import Scenes
from tgn.runtime.files import write_text


def write_submission(folder: Path, data: Scenes, found: list[Found]) -> list[Path]:
    """Write one file a class, ``Task1_<class>.txt``, or ``Task2_`` for upright boxes.

    A line of task 1 is: image score x1 y1 x2 y2 x3 y3 x4 y4; of task 2: image score left top right
    bottom. Source: the DOTA evaluation server's description.

    Args:
        folder: gets the files.
        data: the images, in the order of ``found``.
        found: what was found in each.
    """
    is_rotated = any(one.boxes.shape[1] == 5 for one in found)
    lines: dict[str, list[str]] = {name: [] for name in data.classes}
    for scene, one in zip(data.scenes, found, strict=True):
        places = corners(one.boxes).flatten(1) if is_rotated else one.boxes
        for place, label, score in zip(
            places.tolist(), one.labels.tolist(), one.scores.tolist(), strict=True
        ):
            numbers = " ".join(f"{value:.1f}" for value in place)
            lines[data.classes[label]].append(f"{scene.image.stem} {score:.4f} {numbers}")
    task = "Task1" if is_rotated else "Task2"
    paths = []
    for name, rows in lines.items():
        paths.append(folder / f"{task}_{name}.txt")
        write_text(paths[-1], "".join(f"{row}\n" for row in rows))
    return paths
