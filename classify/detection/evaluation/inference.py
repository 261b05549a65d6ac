"""Detection in a stream of images of any size: memory for one image and a batch of tiles."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from classify.detection.average_precision import Detections
from classify.detection.data.dataset import DetectionImage, decode_image
from classify.detection.data.samples import load_sample
from classify.detection.data.tiling import Tile, merge_detections, tile_grid
from classify.detection.models.build import DetectorSpec, detect
from classify.detection.models.dense import ROTATED_NMS_IOU, UPRIGHT_NMS_IOU
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError

BATCH_SIZE = 8
WHOLE_IMAGE = Tile(0, 0, 0, 0)  # merging reads the corner only
NOTHING = torch.zeros(0, dtype=torch.uint8)

OnBroken = Callable[[DataError], None]


class FoundInImage(NamedTuple):
    """The detections of one image."""

    image: DetectionImage
    detections: Detections


class _Part(NamedTuple):
    """The pixels of an image or of one of its tiles."""

    number: int  # of the image
    image: DetectionImage
    tile: Tile
    image_u8: Tensor  # [3, H, W]


def unlabelled(path: Path) -> DetectionImage:
    """Return an image file of which nothing is annotated."""
    none = torch.zeros(0, dtype=torch.bool)
    return DetectionImage(path, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), none, none)


def detect_images(
    net: nn.Module,
    spec: DetectorSpec,
    images: Iterable[DetectionImage],
    device: Device,
    on_tile: Callable[[int], None] = lambda count: None,
    on_broken: OnBroken | None = None,
) -> Iterator[FoundInImage]:
    """Yield the detections of each image, in their order; large images are seen tile by tile.

    Args:
        net: from :func:`load_detector`, on the device.
        spec: its specification.
        images: of any sizes, read as they are needed; annotations are not used.
        device: where it runs.
        on_tile: gets the number of tiles (or whole images) that were seen, after each batch.
        on_broken: gets the error of an image that cannot be read, which is left out; without, it
            is raised.

    Raises:
        DataError: naming the file, if an image cannot be read.
    """
    threshold = ROTATED_NMS_IOU if spec.is_rotated else UPRIGHT_NMS_IOU
    found = _detect_parts(net, _parts(images, spec, on_broken), device, on_tile)
    for _, group in groupby(found, lambda one: one[0].number):
        tiles = list(group)
        parts = [(part.tile, detections) for part, detections in tiles]
        whole = parts[0][1] if len(parts) == 1 else merge_detections(parts, threshold)
        yield FoundInImage(tiles[0][0].image, whole)


def _parts(
    images: Iterable[DetectionImage], spec: DetectorSpec, on_broken: OnBroken | None
) -> Iterator[_Part]:
    """Yield the tiles of each image; it is decoded once."""
    for number, image in enumerate(images):
        try:
            picture = decode_image(image)
        except DataError as error:
            if on_broken is None:
                raise
            on_broken(error)
            continue
        tiles = [WHOLE_IMAGE]
        if spec.tile_size is not None:
            overlap = int(spec.tile_size * spec.tile_overlap)
            tiles = tile_grid(*picture.size, spec.tile_size, overlap)
        for tile in tiles:
            left, top, width, height = tile
            shown = picture.crop((left, top, left + width, top + height)) if width else picture
            pixels = load_sample(unlabelled(image.path), shown).image_u8
            yield _Part(number, image, tile, pixels)


def _detect_parts(
    net: nn.Module, parts: Iterator[_Part], device: Device, on_tile: Callable[[int], None]
) -> Iterator[tuple[_Part, Detections]]:
    while batch := list(islice(parts, BATCH_SIZE)):
        pixels = [part.image_u8.to(device.torch_device).float() / 255 for part in batch]
        detections = _detect_batch(net, pixels)
        on_tile(len(batch))
        # An image's parts are kept until the last; their pixels are not.
        seen = [part._replace(image_u8=NOTHING) for part in batch]
        yield from zip(seen, detections, strict=True)


def _detect_batch(net: nn.Module, images: list[Tensor]) -> list[Detections]:
    """Detect in images of one shape together, so that padding changes no result."""
    detections: dict[int, Detections] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [k for k, image in enumerate(images) if image.shape == shape]
        alike = detect(net.eval(), [images[k] for k in rows])
        detections |= dict(zip(rows, alike, strict=True))
    return [detections[k] for k in range(len(images))]
