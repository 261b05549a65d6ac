"""One image of a training: its pixels and objects, read from its file."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from classify.detection.data.dataset import DetectionImage, decode_image


class DetectionSample(NamedTuple):
    """Pixels and objects of one image of a batch."""

    image_u8: Tensor  # [3, H, W]
    boxes: Tensor  # [N, 4 or 5] in pixels
    labels: Tensor  # [N], 0 for the first class


def load_sample(image: DetectionImage, picture: Image.Image | None = None) -> DetectionSample:
    """Read an image or its tile, without crowds; upright boxes are clipped to its border.

    Args:
        image: an image or a tile.
        picture: the whole image, if it is decoded already.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    picture = picture or decode_image(image)
    if image.tile is not None:
        left, top, width, height = image.tile
        picture = picture.crop((left, top, left + width, top + height))
    pixels = np.asarray(picture, dtype=np.uint8)
    image_u8 = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    boxes, labels = image.boxes[~image.crowd], image.labels[~image.crowd]
    if boxes.shape[1] == 4:
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, image_u8.shape[2])
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, image_u8.shape[1])
    return DetectionSample(image_u8, boxes, labels)
