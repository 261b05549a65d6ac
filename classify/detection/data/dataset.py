"""Detection data in one form: images with their annotated boxes, upright or rotated."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from classify.detection.boxes.polygons import fit_rectangles
from classify.detection.data.tiling import Tile, boxes_in_tile, tile_grid, visible_fraction
from tgn.data.annotations.outlines import four_corners
from tgn.data.annotations.types import Annotations, ObjectAnnotation, source_name
from tgn.data.images import MAX_PIXELS_OF_SCENE, image_size, read_image
from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator

MIN_VISIBLE = 0.5  # share of an object's upright box that a tile must show
MIN_OBLIQUE = 1e-3  # sine of twice the angle of a box that is not axis-aligned


@dataclass(frozen=True)
class DetectionImage:
    """One image, or a tile of it, with its annotations."""

    path: Path
    boxes: Tensor  # [N, 4] left, top, right, bottom, or [N, 5] rotated; pixels; N may be 0
    labels: Tensor  # [N], int64, 0 for the first class
    difficult: Tensor  # [N], bool
    crowd: Tensor  # [N], bool: many objects under one box
    tile: Tile | None = None  # None: the whole image
    polygons: Tensor | None = None  # [N, 4, 2], of rotated boxes: their outlines as labelled

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to learn: no object, but for crowds."""
        return bool(self.crowd.all())


@dataclass(frozen=True)
class DetectionDataset:
    """Annotated images with one order of classes."""

    classes: tuple[str, ...]  # the most frequent first
    images: tuple[DetectionImage, ...]  # by file name

    @property
    def is_rotated(self) -> bool:
        """Return whether boxes have an angle."""
        return any(image.boxes.shape[1] == 5 for image in self.images)

    @property
    def has_oblique_boxes(self) -> bool:
        """Return whether any rotated box is not axis-aligned."""
        angles = torch.cat([image.boxes[:, 4] for image in self.images])
        return bool(((2 * angles).sin().abs() > MIN_OBLIQUE).any())


def make_dataset(
    annotations: Annotations, rotated: bool, classes: tuple[str, ...] | None = None
) -> DetectionDataset:
    """Convert annotations to tensors, images without any object included.

    Args:
        annotations: what `read_annotations` returned.
        rotated: whether boxes keep their angle; else the upright box round each is taken.
        classes: their order, where another part of the data has set it; None: by frequency.

    Raises:
        DataError: if there is no image, no object and no ``classes``, or an object of another
            class than those.
    """
    if not annotations.images:
        raise DataError("no image was read; see the problems listed")
    if not annotations.objects and classes is None:
        raise DataError("no labelled object was read; see the problems listed")
    if classes is not None:
        annotations = _spelt_as(annotations, classes)
    counts = Counter(one.class_name for one in annotations.objects)
    order = classes or tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    if unknown := sorted(set(counts) - set(order)):
        raise DataError(
            f"{', '.join(unknown)}: not among the classes of the training, {', '.join(order)}; "
            "train on labels that have them, or leave these objects out: --skip-unknown"
        )
    by_image: dict[Path, list[ObjectAnnotation]] = {path: [] for path in annotations.images}
    for one in annotations.objects:
        by_image.setdefault(one.image, []).append(one)
    images = (_to_tensors(path, by_image[path], order, rotated) for path in sorted(by_image))
    return DetectionDataset(order, tuple(images))


def without_unknown(annotations: Annotations, classes: tuple[str, ...]) -> Annotations:
    """Return annotations without objects of other classes than some, and with a note of these."""
    known = {name.casefold() for name in classes}
    others = Counter(
        one.class_name for one in annotations.objects if one.class_name.casefold() not in known
    )
    if not others:
        return annotations
    counts = ", ".join(f"{name} ({others[name]})" for name in sorted(others))
    note = f"objects of classes that the training lacks are left out: {counts}"
    objects = [one for one in annotations.objects if one.class_name not in others]
    return replace(annotations, objects=objects, notes=[*annotations.notes, note])


def _spelt_as(annotations: Annotations, classes: tuple[str, ...]) -> Annotations:
    """Return annotations whose classes differ from known ones not in upper and lower case alone."""
    known = {name.casefold(): name for name in classes} | {name: name for name in classes}
    names = {
        one.class_name: known.get(one.class_name, known.get(one.class_name.casefold()))
        for one in annotations.objects
    }
    objects = [
        replace(one, class_name=names[one.class_name] or one.class_name)
        for one in annotations.objects
    ]
    return replace(annotations, objects=objects)


def _to_tensors(
    path: Path, objects: list[ObjectAnnotation], classes: tuple[str, ...], rotated: bool
) -> DetectionImage:
    polygons = None
    if rotated:
        corners = [four_corners(one.polygon) for one in objects]
        polygons = torch.tensor(corners, dtype=torch.float64).view(-1, 4, 2)
        boxes = fit_rectangles(polygons).float()
    else:
        boxes = torch.tensor([one.box_xyxy for one in objects]).view(-1, 4)
    labels = torch.tensor([classes.index(one.class_name) for one in objects], dtype=torch.int64)
    difficult = torch.tensor([one.difficult for one in objects], dtype=torch.bool)
    crowd = torch.tensor([one.is_crowd for one in objects], dtype=torch.bool)
    return DetectionImage(path, boxes, labels, difficult, crowd, polygons=polygons)


def decode_image(image: DetectionImage) -> Image.Image:
    """Decode a whole image file as RGB, whatever tile of it is meant.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        return read_image(image.path, most=MAX_PIXELS_OF_SCENE)[0]
    except DataError as error:
        raise DataError(f"{image.path}: {error}") from None


def split_dataset(
    data: DetectionDataset, test_fraction: float, seed: int
) -> tuple[DetectionDataset, DetectionDataset]:
    """Split by image, seeded, into training and test; files cut from one image stay together.

    Raises:
        DataError: if a part would be empty.
    """
    sources = list(dict.fromkeys(source_name(image.path) for image in data.images))
    count = round(len(sources) * test_fraction)
    if not 0 < count < len(sources):
        raise DataError(
            f"{len(sources)} images cannot be split with a share of {test_fraction} held out; set "
            "test_fraction or validation_share, or give that part by itself: --test, --validation"
        )
    order = torch.randperm(len(sources), generator=generator(seed, "detect split")).tolist()
    held_out = {sources[k] for k in order[:count]}
    parts: tuple[list[DetectionImage], list[DetectionImage]] = [], []
    for image in data.images:
        parts[source_name(image.path) in held_out].append(image)
    train, test = (DetectionDataset(data.classes, tuple(part)) for part in parts)
    return train, test


def dataset_digest(data: DetectionDataset) -> str:
    """Return the SHA-256 of the classes and of each image's name and annotations, as hex digits."""
    digest = hashlib.sha256(repr(data.classes).encode())
    for image in data.images:
        digest.update(image.path.name.encode())
        for values in (image.boxes, image.labels, image.difficult, image.crowd):
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def cut_into_tiles(data: DetectionDataset, size: int | None, overlap: float) -> DetectionDataset:
    """Cut images larger than a tile into tiles, each an image of its own.

    An object belongs to the tiles that show more than half of it. One too large for that belongs
    to the tiles that show most of it.

    Args:
        data: whole images.
        size: side of a tile in pixels; None: nothing is cut.
        overlap: of neighbouring tiles, as a share of the size.
    """
    if size is None:
        return data
    images = []
    for image in data.images:
        tiles = tiles_of(image, size, overlap)
        visible = torch.stack([visible_fraction(tile, image.boxes) for tile in tiles])
        belongs = (visible > MIN_VISIBLE) | ((visible == visible.amax(dim=0)) & (visible > 0))
        images += [_tile_image(image, *one) for one in zip(tiles, belongs, strict=True)]
    return DetectionDataset(data.classes, tuple(images))


def _tile_image(image: DetectionImage, tile: Tile, belongs: Tensor) -> DetectionImage:
    boxes, labels = boxes_in_tile(tile, image.boxes[belongs]), image.labels[belongs]
    difficult, crowd = image.difficult[belongs], image.crowd[belongs]
    polygons = image.polygons
    if polygons is not None:
        polygons = polygons[belongs] - polygons.new_tensor(tile[:2])
    return DetectionImage(image.path, boxes, labels, difficult, crowd, tile, polygons)


def keep_empty_share(
    data: DetectionDataset, share: float, seed: int
) -> tuple[DetectionDataset, int]:
    """Return the data with a share of the images (or tiles) without objects, and their number.

    Args:
        data: images or tiles.
        share: of the empty ones that stays, in [0, 1].
        seed: of the choice.
    """
    empty = [index for index, image in enumerate(data.images) if image.is_empty]
    order = torch.randperm(len(empty), generator=generator(seed, "empty images")).tolist()
    kept = {empty[k] for k in order[: round(share * len(empty))]}
    images = [
        image for index, image in enumerate(data.images) if not image.is_empty or index in kept
    ]
    return DetectionDataset(data.classes, tuple(images)), len(empty)


def tiles_of(image: DetectionImage, size: int, overlap: float) -> list[Tile]:
    """Return the tiles of an image file; see :func:`cut_into_tiles`."""
    width, height = image_size(image.path)
    return tile_grid(width, height, size, int(size * overlap))
