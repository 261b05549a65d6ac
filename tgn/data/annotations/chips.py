"""Chips: detection data as an image folder, one square crop an object."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tgn.data.annotations.chip_table import Chip, write_chip_table
from tgn.data.annotations.outlines import four_corners
from tgn.data.annotations.settings import ChipSettings
from tgn.data.annotations.squares import Square, crop_square, square_round
from tgn.data.annotations.types import Annotations, ObjectAnnotation, source_name
from tgn.data.completion_record import CHIPS, begin_writing, finish_writing
from tgn.data.images import MAX_PIXELS_OF_SCENE, read_image
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.files import atomic_path
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator


def cut_chips(
    annotations: Annotations, out: Path, settings: ChipSettings, progress: Progress
) -> Counter[str]:
    """Write OUT/{train,test}/<class>/<image>_<n>.png, one square chip an object.

    With ``settings.part`` they are OUT/<part>/<class>/*, and other parts may lie beside them. The
    table ``chips.csv`` beside them says where each was cut.
    All chips of an image belong to the same part, and those of files cut from one image too. The
    same call resumes an interrupted one.

    Args:
        annotations: of the images.
        out: a new or empty folder, or one that was begun with the same settings and annotations.
        settings: of the chips.
        progress: counts images.

    Returns:
        The number of chips of each class.

    Raises:
        DataError: if there is no object.
        UserError: if OUT holds anything else, or no object is large enough.
    """
    if not annotations.objects:
        raise DataError("no labelled object was read; see what was left out")
    objects = [one for one in annotations.objects if _is_usable(one, settings)]
    if not objects:
        raise UserError(f"no object of at least {settings.min_side} px among the labels")
    objects.sort(key=lambda one: str(one.image))
    images = [path for path, _ in groupby(objects, lambda one: one.image)]
    test = set() if settings.part else _test_images(images, settings)
    written = out / settings.part if settings.part else out
    values = settings.model_dump(mode="json", exclude_none=True)
    made_with = {**values, "labels": _annotations_digest(objects)}
    begin_writing(written, CHIPS, made_with, settings.renamed)
    progress.start("chips", len(images))
    counts: Counter[str] = Counter()
    chips: list[Chip] = []
    for path, group in groupby(objects, lambda one: one.image):
        part = out / (settings.part or ("test" if path in test else "train"))
        for one, square, picture in _crop_chips(path, list(group), settings, progress):
            file = part / one.class_name / f"{path.stem}_{counts[one.class_name]}.png"
            counts[one.class_name] += 1
            with atomic_path(file) as temporary:
                picture.save(temporary, "PNG")
            name = file.relative_to(written).as_posix()
            chips.append(Chip(name, one.class_name, path, four_corners(one.polygon), *square))
        progress.advance()
    write_chip_table(written, chips)
    finish_writing(written, CHIPS, made_with)
    return counts


def _annotations_digest(objects: list[ObjectAnnotation]) -> str:
    lines = (f"{one.image.name} {one.class_name} {one.polygon}\n" for one in objects)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_usable(one: ObjectAnnotation, settings: ChipSettings) -> bool:
    left, top, right, bottom = one.box_xyxy
    large = max(right - left, bottom - top) >= settings.min_side
    return large and not one.is_crowd and not (settings.skip_difficult and one.difficult)


def _test_images(images: list[Path], settings: ChipSettings) -> set[Path]:
    sources = list(dict.fromkeys(source_name(path) for path in images))
    order = torch.randperm(len(sources), generator=generator(settings.seed, "chips")).tolist()
    test = {sources[index] for index in order[: round(len(sources) * settings.test_fraction)]}
    return {path for path in images if source_name(path) in test}


def _crop_chips(
    path: Path, objects: list[ObjectAnnotation], settings: ChipSettings, progress: Progress
) -> Iterator[tuple[ObjectAnnotation, Square, Image.Image]]:
    try:
        picture = np.asarray(read_image(path, most=MAX_PIXELS_OF_SCENE)[0])
    except DataError as error:
        progress.warn(f"{path} left out: {error}")
        return
    height, width = picture.shape[:2]
    for one in objects:
        square = square_round(one.box_xyxy, (width, height), settings.margin)
        yield one, square, Image.fromarray(crop_square(picture, square))
