"""Labelled scenes: images with boxes, upright or rotated, whatever format the labels had."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from classify.detection.boxes.rotated import from_corners
from classify.detection.tiling import Window, boxes_in, share_in, windows
from tgn.data.annotations.types import DetectedObject, Detections, corners_of_box
from tgn.data.images import MAX_PIXELS_OF_SCENE, read_image
from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator

MOSTLY = 0.5  # of an object's upright box
ASKEW = 1e-3  # sine of twice an angle


@dataclass(frozen=True)
class Scene:
    """One image and what is labelled in it."""

    image: Path
    boxes: Tensor  # [N, 4] left, top, right, bottom, or [N, 5] rotated; pixels; N may be 0
    labels: Tensor  # [N], int64
    difficult: Tensor  # [N], bool
    crowd: Tensor  # [N], bool: many objects under one box
    window: Window | None = None  # the part of the image that is meant; None: all


@dataclass(frozen=True)
class Scenes:
    """A detection set."""

    classes: tuple[str, ...]  # the most frequent first
    scenes: tuple[Scene, ...]  # by file name

    @property
    def is_rotated(self) -> bool:
        """Whether boxes are rotated."""
        return any(scene.boxes.shape[1] == 5 for scene in self.scenes)

    @property
    def has_turned_boxes(self) -> bool:
        """Whether a side of any rotated box lies askew in its image."""
        angles = torch.cat([scene.boxes[:, 4] for scene in self.scenes])
        return bool(((2 * angles).sin().abs() > ASKEW).any())


def scenes_of(found: Detections, rotated: bool, classes: tuple[str, ...] | None = None) -> Scenes:
    """Put labels that were read into one form, images without any included.

    Args:
        found: what `read_annotations` returned.
        rotated: whether boxes keep their angle; else the upright box round each is taken.
        classes: their order, where another part of the data has set it; None: by frequency.

    Raises:
        DataError: if there is no image, no object and no ``classes``, or an object of another
            class than those.
    """
    if not found.images:
        raise DataError("no image was read; see the problems listed")
    if not found.objects and classes is None:
        raise DataError("no labelled object was read; see the problems listed")
    counts = Counter(one.class_name for one in found.objects)
    order = classes or tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    if strange := sorted(set(counts) - set(order)):
        raise DataError(
            f"{', '.join(strange)}: not among the classes of the training, {', '.join(order)}; "
            "train on labels that have them, or leave them out of these"
        )
    by_image: dict[Path, list[DetectedObject]] = {path: [] for path in found.images}
    for one in found.objects:
        by_image.setdefault(one.image, []).append(one)
    scenes = (_scene(path, by_image[path], order, rotated) for path in sorted(by_image))
    return Scenes(order, tuple(scenes))


def _scene(
    path: Path, objects: list[DetectedObject], classes: tuple[str, ...], rotated: bool
) -> Scene:
    if rotated:
        corners = torch.tensor([_quadrilateral(one) for one in objects]).view(-1, 4, 2)
        boxes = from_corners(corners.double()).float()
    else:
        boxes = torch.tensor([one.box_xyxy for one in objects]).view(-1, 4)
    labels = torch.tensor([classes.index(one.class_name) for one in objects], dtype=torch.int64)
    difficult = torch.tensor([one.difficult for one in objects], dtype=torch.bool)
    crowd = torch.tensor([one.is_crowd for one in objects], dtype=torch.bool)
    return Scene(path, boxes, labels, difficult, crowd)


def _quadrilateral(one: DetectedObject) -> tuple[tuple[float, float], ...]:
    if len(one.polygon) == 4:
        return one.polygon
    return corners_of_box(*one.box_xyxy)


def picture_of(scene: Scene) -> Image.Image:
    """Decode the whole image of a scene as RGB.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        return read_image(scene.image, most=MAX_PIXELS_OF_SCENE)[0]
    except DataError as error:
        raise DataError(f"{scene.image}: {error}") from None


def held_out(data: Scenes, share: float, seed: int) -> tuple[Scenes, Scenes]:
    """Split by image, seeded: training and test; patches of one image stay together.

    Patches are known by their names, as DOTA's tools give them: ``<image>__<scale>__<left>...``.

    Raises:
        DataError: if a part would be empty.
    """
    whole = list(dict.fromkeys(_uncut(scene) for scene in data.scenes))
    count = round(len(whole) * share)
    if not 0 < count < len(whole):
        raise DataError(f"{len(whole)} images cannot be split with a test share of {share}")
    order = torch.randperm(len(whole), generator=generator(seed, "detect split")).tolist()
    chosen = {whole[k] for k in order[:count]}
    parts: tuple[list[Scene], list[Scene]] = [], []
    for scene in data.scenes:
        parts[_uncut(scene) in chosen].append(scene)
    train, test = (Scenes(data.classes, tuple(part)) for part in parts)
    return train, test


def _uncut(scene: Scene) -> str:
    return scene.image.stem.split("__")[0]


def digest_of(data: Scenes) -> str:
    """SHA-256 of the classes, and of the name, boxes and labels of each image, in hexadecimals."""
    found = hashlib.sha256(repr(data.classes).encode())
    for scene in data.scenes:
        found.update(scene.image.name.encode())
        for values in (scene.boxes, scene.labels, scene.difficult, scene.crowd):
            found.update(values.numpy().tobytes())
    return found.hexdigest()


def cut(data: Scenes, size: int | None, overlap: float) -> Scenes:
    """Cut images larger than a patch into patches, each a scene of its own.

    An object is in the patches that show most of it: more than half, or, where it is too large for
    that, as much as any other patch.

    Args:
        data: whole images.
        size: side of a patch in pixels; None: nothing is cut.
        overlap: of neighbours, as a share of the size.
    """
    if size is None:
        return data
    scenes = []
    for scene in data.scenes:
        parts = windows_of(scene, size, overlap)
        shares = torch.stack([share_in(window, scene.boxes) for window in parts])
        wanted = (shares > MOSTLY) | ((shares == shares.amax(dim=0)) & (shares > 0))
        scenes += [_part(scene, *one) for one in zip(parts, wanted, strict=True)]
    return Scenes(data.classes, tuple(scenes))


def _part(scene: Scene, window: Window, wanted: Tensor) -> Scene:
    boxes, labels = boxes_in(window, scene.boxes[wanted]), scene.labels[wanted]
    return Scene(scene.image, boxes, labels, scene.difficult[wanted], scene.crowd[wanted], window)


def windows_of(scene: Scene, size: int, overlap: float) -> list[Window]:
    """The patches of a scene's image."""
    with Image.open(scene.image) as picture:  # reads no pixels
        width, height = picture.size
    return windows(width, height, size, int(size * overlap))
