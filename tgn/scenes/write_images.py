"""Write large images with rotated boxes, in the layout of DOTA."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from tgn.data.completion_record import SCENES, begin_writing, finish_writing
from tgn.data.images import encode_image
from tgn.runtime.files import write_bytes, write_text
from tgn.runtime.seeds import seed_of
from tgn.scenes.detection_image import DETECTION_CLASSES, LabelledObject, draw_detection_image
from tgn.scenes.settings import ImagesSettings


def write_images(
    out: Path, settings: ImagesSettings, progress: Callable[[int], None] | None = None
) -> None:
    """Write OUT/train and OUT/test, each with images/NNNNN.png and labelTxt/NNNNN.txt.

    An interrupted call is continued by the same call.

    Args:
        out: a folder that is new, empty, or was begun with the same settings.
        settings: what to write.
        progress: called after every image with the number done.

    Raises:
        UserError: if OUT holds anything else.
    """
    made_with = settings.model_dump(mode="json")
    begin_writing(out, SCENES, made_with)
    for done, (part, index) in enumerate(_images(settings), start=1):
        labels = out / part / "labelTxt" / f"{index:05d}.txt"
        if not labels.exists():  # it is written last
            _write(out / part, index, settings)
        if progress is not None:
            progress(done)
    finish_writing(out, SCENES, made_with)


def class_weights(imbalance: float) -> dict[str, float]:
    """Return the relative frequency of each class: imbalance^(-k / (C - 1)) for class k."""
    steps = len(DETECTION_CLASSES) - 1
    return {name: imbalance ** (-k / steps) for k, name in enumerate(DETECTION_CLASSES)}


def label_lines(labelled: list[LabelledObject]) -> str:
    """Return the text of a labelTxt file: x1 y1 x2 y2 x3 y3 x4 y4 class difficult."""
    rows = []
    for class_name, corners in labelled:
        numbers = " ".join(f"{value:.2f}" for corner in corners for value in corner)
        rows.append(f"{numbers} {class_name} 0\n")
    return "".join(rows)


def _images(settings: ImagesSettings) -> Iterator[tuple[str, int]]:
    for part, count in (("train", settings.train), ("test", settings.test)):
        for index in range(count):
            yield part, index


def _write(folder: Path, index: int, settings: ImagesSettings) -> None:
    key = seed_of("images", settings.seed, folder.name, index, settings.size)
    rng = np.random.default_rng(key)
    weights = class_weights(settings.imbalance)
    image, labelled = draw_detection_image(rng, settings.size, weights, settings.objects)
    image_u8 = torch.from_numpy(image).permute(2, 0, 1)
    write_bytes(folder / "images" / f"{index:05d}.png", encode_image(image_u8, "png"))
    write_text(folder / "labelTxt" / f"{index:05d}.txt", label_lines(labelled))
