"""Detection data made into an image folder: one square chip an object."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from tgn.data.annotations.types import DetectedObject, Detections
from tgn.data.completion_record import CHIPS, claim, finish
from tgn.data.images import MAX_PIXELS_OF_SCENE, read_image
from tgn.runtime.config import Settings
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import atomic_path
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator


class ChipSettings(Settings):
    """Settings of ``tgn chips``."""

    margin: float = Field(0.15, ge=0, le=2, description="round the object, of its longer side")
    min_side: float = Field(12, gt=0, description="objects with a longer side under this are left")
    skip_difficult: bool = Field(False, description="leave out objects marked difficult")
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the images whose chips are test")
    seed: int = Field(0, description="seed of the choice of test images")


def cut_chips(
    detections: Detections, out: Path, settings: ChipSettings, progress: Progress
) -> Counter[str]:
    """Write OUT/{train,test}/<class>/<image>_<n>.png; return how many of each class.

    Whole images go to one part: chips of one image never lie on both sides. An interrupted call is
    continued by the same call.

    Raises:
        UserError: if OUT holds anything else, or no object is large enough.
    """
    objects = [one for one in detections.objects if _wanted(one, settings)]
    if not objects:
        raise UserError(f"no object of at least {settings.min_side} px among the labels")
    objects.sort(key=lambda one: str(one.image))
    images = [path for path, _ in groupby(objects, lambda one: one.image)]
    test = _held_out(images, settings)
    made_with = {**settings.model_dump(mode="json"), "labels": _digest_of(objects)}
    claim(out, CHIPS, made_with)
    progress.start("chips", len(images))
    counts: Counter[str] = Counter()
    for path, group in groupby(objects, lambda one: one.image):
        part = out / ("test" if path in test else "train")
        for one, chip in _chips(path, list(group), settings, progress):
            number = counts[one.class_name]
            counts[one.class_name] += 1
            with atomic_path(part / one.class_name / f"{path.stem}_{number}.png") as temporary:
                chip.save(temporary, "PNG")
        progress.advance()
    finish(out, CHIPS, made_with)
    return counts


def _digest_of(objects: list[DetectedObject]) -> str:
    told = (f"{one.image.name} {one.class_name} {one.polygon}\n" for one in objects)
    return hashlib.sha256("".join(told).encode()).hexdigest()


def _wanted(one: DetectedObject, settings: ChipSettings) -> bool:
    left, top, right, bottom = one.box_xyxy
    large = max(right - left, bottom - top) >= settings.min_side
    return large and not one.is_crowd and not (settings.skip_difficult and one.difficult)


def _held_out(images: list[Path], settings: ChipSettings) -> set[Path]:
    order = torch.randperm(len(images), generator=generator(settings.seed, "chips")).tolist()
    return {images[place] for place in order[: round(len(images) * settings.holdout)]}


def _chips(
    path: Path, objects: list[DetectedObject], settings: ChipSettings, progress: Progress
) -> Iterator[tuple[DetectedObject, Image.Image]]:
    try:
        picture = np.asarray(read_image(path, most=MAX_PIXELS_OF_SCENE)[0])
    except DataError as error:
        progress.warn(f"{path} left out: {error}")
        return
    for one in objects:
        yield one, _square(picture, one, settings.margin)


def _square(picture: np.ndarray, one: DetectedObject, margin: float) -> Image.Image:
    """Cut the square round an object; where it leaves the image, the image is mirrored."""
    height, width = picture.shape[:2]
    left, top, right, bottom = np.clip(one.box_xyxy, 0, (width, height) * 2).tolist()
    half = max(right - left, bottom - top) * (0.5 + margin)
    x, y = round((left + right) / 2 - half), round((top + bottom) / 2 - half)
    side = max(round(2 * half), 1)
    rows = _mirrored(np.arange(y, y + side), height)
    columns = _mirrored(np.arange(x, x + side), width)
    return Image.fromarray(picture[rows[:, None], columns[None, :]])


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Fold any whole number into 0..length-1 by reflection at the borders."""
    period = np.mod(index, 2 * length)
    return np.minimum(period, 2 * length - 1 - period)
