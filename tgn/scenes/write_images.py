"""Writes whole drawn images with rotated boxes, as DOTA lays them out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from tgn.data.completion_record import SCENES, claim, finish
from tgn.data.images import encode_image
from tgn.runtime.config import Settings
from tgn.runtime.files import write_bytes, write_text
from tgn.runtime.seeds import seed_of
from tgn.scenes.crowd import CROWD_CLASSES, Labelled, draw_crowd


class ImagesSettings(Settings):
    """What `tgn scenes --boxes rotated` writes."""

    boxes: Literal["rotated"] = Field("rotated", description="how objects are labelled")
    size: int = Field(256, ge=128, le=2048, description="side of an image in pixels")
    seed: int = Field(0, ge=0, description="images of another seed share no image with these")
    train: int = Field(300, ge=1, description="training images")
    test: int = Field(100, ge=1, description="test images")
    objects: int = Field(10, ge=1, description="of an image, about")
    imbalance: float = Field(
        10.0, ge=1, description="how much likelier the first class than the last"
    )

    @property
    def total(self) -> int:
        """Images of both parts."""
        return self.train + self.test


def write_images(
    out: Path, settings: ImagesSettings, progress: Callable[[int], None] | None = None
) -> None:
    """Writes OUT/train and OUT/test, each with images/NNNNN.png and labelTxt/NNNNN.txt.

    An interrupted call is continued by the same call.

    Args:
        out: a folder that is new, empty, or was begun with the same settings.
        settings: what to write.
        progress: told after every image how many are done.

    Raises:
        UserError: if OUT holds anything else.
    """
    made_with = settings.model_dump(mode="json")
    claim(out, SCENES, made_with)
    for done, (part, index) in enumerate(_images(settings), start=1):
        labels = out / part / "labelTxt" / f"{index:05d}.txt"
        if not labels.exists():  # it is written last
            _write(out / part, index, settings)
        if progress is not None:
            progress(done)
    finish(out, SCENES, made_with)


def class_weights(imbalance: float) -> dict[str, float]:
    """How often each class is wanted: imbalance^(-k / (C - 1)) for class k."""
    steps = len(CROWD_CLASSES) - 1
    return {name: imbalance ** (-k / steps) for k, name in enumerate(CROWD_CLASSES)}


def label_lines(labelled: list[Labelled]) -> str:
    """Text of a labelTxt file: x1 y1 x2 y2 x3 y3 x4 y4 class difficult."""
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
    image, labelled = draw_crowd(rng, settings.size, weights, settings.objects)
    image_u8 = torch.from_numpy(image).permute(2, 0, 1)
    write_bytes(folder / "images" / f"{index:05d}.png", encode_image(image_u8, "png"))
    write_text(folder / "labelTxt" / f"{index:05d}.txt", label_lines(labelled))
