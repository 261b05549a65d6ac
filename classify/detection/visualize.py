"""Images with their boxes drawn: annotations in white, detections in the colour of their class."""

import colorsys
from pathlib import Path

import torch
from PIL import ImageDraw
from torch import Tensor

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import to_corners
from classify.detection.dataset import DetectionImage, decode_image
from tgn.runtime.files import atomic_path
from tgn.runtime.shown_text import for_picture

WHITE = (255, 255, 255)


def draw_boxes(
    image: DetectionImage,
    detections: Detections | None,
    classes: tuple[str, ...],
    folder: Path,
    min_score: float = 0.5,
) -> Path:
    """Draw the boxes of one image, upright or rotated, and write it as a PNG file.

    Args:
        image: with its annotations.
        detections: of a detector, or None: only annotations, with their class names.
        classes: names of the labels.
        folder: gets ``<image name>.png``.
        min_score: detections below it are not drawn.

    Returns:
        The file.
    """
    names = [for_picture(name) for name in classes]
    picture = decode_image(image)
    pen = ImageDraw.Draw(picture)
    outlines = box_polygons(image.boxes if image.polygons is None else image.polygons)
    for polygon, label in zip(outlines, image.labels.tolist(), strict=True):
        pen.polygon(polygon, outline=WHITE)
        if detections is None:
            pen.text(polygon[0], names[label], fill=WHITE)
    if detections is not None:
        kept = detections.scores >= min_score
        rows = zip(
            box_polygons(detections.boxes[kept]),
            detections.labels[kept].tolist(),
            detections.scores[kept].tolist(),
            strict=True,
        )
        for polygon, label, score in rows:
            colour = class_colour(label, len(classes))
            pen.polygon(polygon, outline=colour, width=2)
            pen.text(polygon[0], f"{names[label]} {score:.2f}", fill=colour)
    path = folder / f"{image.path.stem}.png"
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG")
    return path


def box_polygons(boxes: Tensor) -> list[list[tuple[float, float]]]:
    """Return the four corners (x, y) of each box [N, 4] or [N, 5], or polygon, in pixels."""
    if boxes.dim() == 3:
        points = boxes
    elif boxes.shape[1] == 5:
        points = to_corners(boxes)
    else:
        left, top, right, bottom = boxes.unbind(1)
        around = ((left, top), (right, top), (right, bottom), (left, bottom))
        points = torch.stack([torch.stack(corner, dim=1) for corner in around], dim=1)
    return [[(float(x), float(y)) for x, y in polygon] for polygon in points.tolist()]


def class_colour(label: int, num_classes: int) -> tuple[int, int, int]:
    """Return a bright RGB colour, 0 to 255, that differs between classes."""
    red, green, blue = colorsys.hsv_to_rgb(label / max(num_classes, 1), 0.9, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
