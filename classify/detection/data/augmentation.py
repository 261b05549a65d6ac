"""Random changes of training images together with their boxes."""

import torch
from torch import Tensor

from classify.detection.data.samples import DetectionSample
from classify.detection.settings.augmentation import AugmentationSettings, Flips


def augment(
    sample: DetectionSample, settings: AugmentationSettings, rng: torch.Generator
) -> DetectionSample:
    """Change a sample at random.

    Args:
        sample: an image with its boxes.
        settings: which changes there are.
        rng: what is drawn depends on it alone.
    """
    first, second = (torch.rand(2, generator=rng) < 0.5).tolist()
    changed = flip_sample(sample, *drawn_flips(settings.flips, first, second))
    if not settings.quarter_turns:
        return changed
    return turn_sample(changed, int(torch.randint(4, (), generator=rng)))


def drawn_flips(kind: Flips, first: bool, second: bool) -> tuple[bool, bool]:
    """Return whether an image is flipped left to right and upside down.

    Args:
        kind: of the flips.
        first: true half of the time.
        second: likewise, independent of the first.
    """
    return {
        "both": (first, second),
        "horizontal": (first, False),
        "vertical": (False, first),
        "diagonal": (first, first),
        "none": (False, False),
    }[kind]


def flip_sample(sample: DetectionSample, left_right: bool, up_down: bool) -> DetectionSample:
    """Flip an image with its boxes."""
    image_u8, boxes, labels = sample
    for axis, flips in enumerate((left_right, up_down)):
        if flips:
            length = image_u8.shape[2 - axis]
            image_u8 = image_u8.flip(2 - axis)
            boxes = _flip_boxes(boxes, axis, length)
    return DetectionSample(image_u8, boxes, labels)


def _flip_boxes(boxes: Tensor, axis: int, length: int) -> Tensor:
    boxes = boxes.clone()
    if boxes.shape[1] == 5:
        boxes[:, axis] = length - boxes[:, axis]
        boxes[:, 4] = -boxes[:, 4]
    else:
        boxes[:, [axis, axis + 2]] = length - boxes[:, [axis + 2, axis]]
    return boxes


def turn_sample(sample: DetectionSample, quarters: int) -> DetectionSample:
    """Turn an image with its boxes by some right angles, counter-clockwise as it is seen."""
    image_u8, boxes, labels = sample
    for _ in range(quarters):
        boxes = _turn_boxes(boxes, image_u8.shape[2])
        image_u8 = image_u8.rot90(1, (1, 2))
    return DetectionSample(image_u8, boxes, labels)


def _turn_boxes(boxes: Tensor, width: int) -> Tensor:
    """Turn boxes by a right angle: x becomes y, y becomes width - x."""
    if boxes.shape[1] == 5:  # a rectangle on its side is one with its sides exchanged
        x, y, *sides, angle = boxes.unbind(1)
        return torch.stack((y, width - x, *sides[::-1], angle), dim=1)
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack((top, width - right, bottom, width - left), dim=1)
