"""Images with their boxes drawn: annotations in white, detections in the colour of their class."""

import colorsys
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from classify.detection.average_precision import Detections
from classify.detection.boxes.rotated import to_corners
from classify.detection.data.dataset import DetectionImage, decode_image
from classify.detection.evaluation.text_on_pictures import WHITE, BoxLabel, line_width, write_labels
from tgn.runtime.files import atomic_path
from tgn.runtime.shown_text import for_picture


def draw_boxes(
    image: DetectionImage,
    detections: Detections | None,
    classes: tuple[str, ...],
    folder: Path,
    min_score: float = 0.5,
) -> Path:
    """Draw the boxes of one image, upright or rotated, with names, and write it as a PNG file.

    Args:
        image: with its annotations.
        detections: of a detector, or None: only annotations, with their class names.
        classes: names of the labels.
        folder: gets ``<image name>.png``.
        min_score: detections below it are not drawn.

    Returns:
        The file.
    """
    path = folder / f"{image.path.stem}.png"
    picture = drawn(image, detections, classes, min_score)
    with atomic_path(path) as temporary:
        picture.save(temporary, "PNG")
    return path


def drawn(
    image: DetectionImage,
    detections: Detections | None,
    classes: tuple[str, ...],
    min_score: float = 0.5,
) -> Image.Image:
    """Return the picture that :func:`draw_boxes` writes."""
    names = [for_picture(name) for name in classes]
    picture = decode_image(image)
    pen, width = ImageDraw.Draw(picture), line_width(picture)
    outlines = box_polygons(image.boxes if image.polygons is None else image.polygons)
    for polygon in outlines:
        pen.polygon(polygon, outline=WHITE, width=width)
    if detections is None:
        pairs = zip(outlines, image.labels.tolist(), strict=True)
        labels = [
            BoxLabel(names[label], polygon, class_colour(label, len(names)))
            for polygon, label in pairs
        ]
    else:
        labels = _detected_labels(detections, names, min_score)
        for label in reversed(labels):  # the best on top
            pen.polygon(label.corners, outline=label.colour, width=width + 1)
    write_labels(picture, labels)
    return picture


def _detected_labels(detections: Detections, names: list[str], min_score: float) -> list[BoxLabel]:
    """Return the labels of detections, by descending score."""
    detections = detections.with_score(min_score)
    rows = detections.scores.argsort(descending=True, stable=True)
    return [
        BoxLabel(f"{names[label]} {score:.2f}", polygon, class_colour(label, len(names)))
        for polygon, label, score in zip(
            box_polygons(detections.boxes[rows]),
            detections.labels[rows].tolist(),
            detections.scores[rows].tolist(),
            strict=True,
        )
    ]


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
