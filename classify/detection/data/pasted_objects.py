"""Objects to be pasted: of other training images, chips, or pictures drawn from chips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from classify.detection.boxes.rotated import to_corners
from classify.detection.data.dataset import DetectionDataset, DetectionImage, decode_image
from tgn.data.annotations.squares import crop_square, square_round
from tgn.data.annotations.types import corners_of_box
from tgn.data.images import image_size, read_image
from tgn.runtime.errors import DataError

BEYOND = 1.0  # pixels by which a box may leave its image: rounding
MARGIN = 0.15  # round real objects, of their longer side, as chips have it


class Cutout(NamedTuple):
    """A square picture of one object."""

    image_u8: Tensor  # [3, S, S]
    corners: Tensor  # [4, 2] of the object in shares of the side, float32


class ObjectPictures(Protocol):
    """Pictures of objects by class."""

    counts: dict[int, int]  # label -> how many, > 0

    def read(self, label: int, index: int) -> Cutout:
        """Return one picture of a class.

        Raises:
            DataError: naming the file, if it cannot be read.
        """


class RealObjects:
    """Objects of the training images, cut out when they are asked for.

    Args:
        data: training images, or tiles; an object that a tile cuts is left out.
        labels: of the classes.

    Raises:
        DataError: naming the image that cannot be read.
    """

    def __init__(self, data: DetectionDataset, labels: Sequence[int]) -> None:
        self._images = data.images
        self._places: dict[int, list[tuple[int, int]]] = {label: [] for label in labels}
        chosen = torch.tensor(labels)
        for row, image in enumerate(data.images):
            wanted = torch.isin(image.labels, chosen) & ~image.crowd
            for number in _whole_objects(image, wanted):
                self._places[int(image.labels[number])].append((row, number))
        self.counts = {label: len(places) for label, places in self._places.items() if places}

    def read(self, label: int, index: int) -> Cutout:
        """Return one object with a margin round it."""
        row, number = self._places[label][index]
        image = self._images[row]
        picture = np.asarray(decode_image(image))
        corners = _corners(image.boxes[number])
        if image.tile is not None:
            corners = corners + corners.new_tensor(image.tile[:2])
        height, width = picture.shape[:2]
        if image.boxes.shape[1] == 4:
            corners = corners.clamp(min=0).minimum(corners.new_tensor([width, height]))
        lower, upper = corners.amin(dim=0).tolist(), corners.amax(dim=0).tolist()
        square = square_round((*lower, *upper), (width, height), MARGIN)
        pixels = torch.from_numpy(crop_square(picture, square)).permute(2, 0, 1)
        return Cutout(pixels, (corners - corners.new_tensor(square[:2])) / square.side)


def _whole_objects(image: DetectionImage, wanted: Tensor) -> list[int]:
    """Return which of the wanted objects [N] the image shows, or its tile without cutting them."""
    rows = wanted.nonzero().flatten()
    if len(rows) == 0:
        return []
    corners = torch.stack([_corners(image.boxes[row]) for row in rows])
    size = image.tile[2:] if image.tile else image_size(image.path)
    beyond = 0.0 if image.tile else BEYOND
    lies_in = (corners > -beyond) & (corners < corners.new_tensor(size) + beyond)
    return rows[lies_in.all(dim=2).all(dim=1)].tolist()


def _corners(box: Tensor) -> Tensor:
    if len(box) == 5:
        return to_corners(box[None])[0]
    return torch.tensor(corners_of_box(*box.tolist()))


@dataclass(frozen=True)
class ObjectPicture:
    """A file that shows one object."""

    file: Path  # of the picture, or of a member of a shard
    corners: Tensor  # [4, 2] in shares of the picture's side


class PicturesOfFiles:
    """Chips, or pictures drawn from them.

    Args:
        pictures: label -> its pictures; labels without any are left out.
    """

    def __init__(self, pictures: dict[int, list[ObjectPicture]]) -> None:
        self._pictures = pictures
        self.counts = {label: len(own) for label, own in pictures.items() if own}

    def read(self, label: int, index: int) -> Cutout:
        """Return one picture."""
        chosen = self._pictures[label][index]
        try:
            pixels = np.asarray(read_image(chosen.file)[0])
        except (DataError, FileNotFoundError) as error:
            raise DataError(f"{chosen.file}, to be pasted: {error}") from None
        return Cutout(torch.from_numpy(pixels.copy()).permute(2, 0, 1), chosen.corners)


def turned_corners(corners: Tensor, code: int) -> Tensor:
    """Return places [N, 2] of a square picture, in shares of its side, after a symmetry.

    Args:
        corners: x to the right, y down.
        code: 0..7, as `tgn.data.augmentation.dihedral` has it.
    """
    x, y = corners.unbind(dim=1)
    if code >= 4:
        x = 1 - x
    for _ in range(code % 4):
        x, y = y, 1 - x
    return torch.stack((x, y), dim=1)
