"""Mosaics: parts of four training images in one, so that a step shows more scenes and objects.

Source: Bochkovskiy et al. 2020, YOLOv4 (arXiv 2004.10934), section 3.4. As there, each quarter is a
random part of its image. Images keep their scale, which remote sensing needs: they are not shrunk.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.detection.data.dataset import MIN_VISIBLE
from classify.detection.data.samples import DetectionSample
from classify.detection.data.tiling import Tile, boxes_in_tile, visible_fraction

NEAREST_CUT = 0.25  # of the sides, from a border to where the four parts meet
GREY = 114  # where an image is smaller than its part


def make_mosaic(
    samples: Sequence[DetectionSample], alike: bool, rng: torch.Generator
) -> DetectionSample:
    """Join parts of four images in one that is as large as the first.

    Boxes are clipped to their part, rotated ones are moved only. Objects of which a part shows half
    or less are dropped, as those of tiles are.

    Args:
        samples: four, whose boxes are all upright or all rotated.
        alike: whether pixels of all images are as large, as those of tiles; else the others are
            scaled to the long side of the first, as the network would see them.
        rng: what is drawn depends on it alone.
    """
    height, width = samples[0].image_u8.shape[1:]
    cut = NEAREST_CUT + (1 - 2 * NEAREST_CUT) * torch.rand(2, generator=rng)
    canvas = torch.full_like(samples[0].image_u8, GREY)
    boxes, labels = [], []
    places = _quarters(width, height, round(width * float(cut[0])), round(height * float(cut[1])))
    for sample, place in zip(samples, places, strict=True):
        scaled = sample if alike else _with_long_side(sample, max(width, height))
        part = _random_part(scaled, place, rng)
        rows, columns = part.image_u8.shape[1:]
        canvas[:, place.top : place.top + rows, place.left : place.left + columns] = part.image_u8
        boxes.append(_moved(part.boxes, place))
        labels.append(part.labels)
    return DetectionSample(canvas, torch.cat(boxes), torch.cat(labels))


def _quarters(width: int, height: int, x: int, y: int) -> list[Tile]:
    return [
        Tile(0, 0, x, y),
        Tile(x, 0, width - x, y),
        Tile(0, y, x, height - y),
        Tile(x, y, width - x, height - y),
    ]


def _random_part(sample: DetectionSample, place: Tile, rng: torch.Generator) -> DetectionSample:
    """Cut a part of an image that fills a place, or as much of it as the image can."""
    image_u8, boxes, labels = sample
    height, width = image_u8.shape[1:]
    columns, rows = min(place.width, width), min(place.height, height)
    right, down = torch.rand(2, generator=rng).tolist()
    left, top = int(right * (width - columns + 1)), int(down * (height - rows + 1))
    tile = Tile(left, top, columns, rows)
    kept = visible_fraction(tile, boxes) > MIN_VISIBLE
    pixels = image_u8[:, top : top + rows, left : left + columns]
    return DetectionSample(pixels, boxes_in_tile(tile, boxes[kept]), labels[kept])


def _with_long_side(sample: DetectionSample, side: int) -> DetectionSample:
    """Scale an image with its boxes to a long side in pixels."""
    image_u8, boxes, labels = sample
    before = image_u8.shape[1:]
    if max(before) == side:
        return sample
    after = [max(1, round(one * side / max(before))) for one in before]
    scaled = F.interpolate(
        image_u8[None].float(), after, mode="bilinear", align_corners=False, antialias=True
    )[0]
    factor = side / max(before)
    factors = [factor] * 4 + [1.0] * (boxes.shape[1] == 5)
    pixels = scaled.round().clamp(0, 255).to(torch.uint8)
    return DetectionSample(pixels, boxes * boxes.new_tensor(factors), labels)


def _moved(boxes: Tensor, place: Tile) -> Tensor:
    """Return boxes of a part in pixels of the mosaic."""
    origin = boxes.new_tensor([place.left, place.top])
    if boxes.shape[1] == 5:
        return torch.cat((boxes[:, :2] + origin, boxes[:, 2:]), dim=1)
    return boxes + origin.repeat(2)
