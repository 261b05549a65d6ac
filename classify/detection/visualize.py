"""Pictures of scenes: what is labelled in white, what was found in the colour of its class."""

import colorsys
import io
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from classify.detection.average_precision import Found
from classify.detection.boxes.rotated import corners
from classify.detection.dataset import Scene, picture_of
from tgn.runtime.files import write_bytes

WHITE = (255, 255, 255)


def draw_scene(
    scene: Scene, found: Found | None, classes: tuple[str, ...], folder: Path, least: float = 0.5
) -> Path:
    """Write one picture, upright or rotated boxes; return its file.

    Args:
        scene: with what is labelled.
        found: what a detector says, or None.
        classes: names of the labels.
        folder: gets ``<image name>.png``.
        least: lowest score that is drawn.
    """
    picture = picture_of(scene)
    ink = ImageDraw.Draw(picture)
    for polygon, label in zip(outlines(scene.boxes), scene.labels.tolist(), strict=True):
        ink.polygon(polygon, outline=WHITE)
        if found is None:
            ink.text(polygon[0], classes[label], fill=WHITE)
    if found is not None:
        kept = found.scores >= least
        rows = zip(
            outlines(found.boxes[kept]),
            found.labels[kept].tolist(),
            found.scores[kept].tolist(),
            strict=True,
        )
        for polygon, label, score in rows:
            colour = colour_of(label, len(classes))
            ink.polygon(polygon, outline=colour, width=2)
            ink.text(polygon[0], f"{classes[label]} {score:.2f}", fill=colour)
    return _write(picture, folder / f"{scene.image.stem}.png")


def outlines(boxes: Tensor) -> list[list[tuple[float, float]]]:
    """Corners of boxes [N, 4] or [N, 5], for drawing."""
    if boxes.shape[1] == 5:
        points = corners(boxes)
    else:
        left, top, right, bottom = boxes.unbind(1)
        around = ((left, top), (right, top), (right, bottom), (left, bottom))
        points = torch.stack([torch.stack(corner, dim=1) for corner in around], dim=1)
    return [[(float(x), float(y)) for x, y in polygon] for polygon in points.tolist()]


def colour_of(label: int, count: int) -> tuple[int, int, int]:
    """A bright colour of its own for each of ``count`` classes."""
    red, green, blue = colorsys.hsv_to_rgb(label / max(count, 1), 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _write(picture: Image.Image, path: Path) -> Path:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    write_bytes(path, stream.getvalue())
    return path
