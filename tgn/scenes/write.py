"""Write the built-in data set as an image folder; an interrupted call is continued."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator

from tgn.data.completion_record import SCENES, begin_writing, finish_writing
from tgn.data.images import encode_image
from tgn.data.splits.class_profiles import profile_counts
from tgn.runtime.files import write_bytes
from tgn.runtime.seeds import seed_of
from tgn.scenes.draw import CLASS_NAMES, draw_chip, draw_pair
from tgn.scenes.settings import Modality, ScenesSettings


@dataclass(frozen=True)
class SceneCounts:
    """Images of each class, in head-first order."""

    train: dict[str, int]
    test: dict[str, int]

    @property
    def total(self) -> int:
        """Number of images in both parts."""
        return sum(self.train.values()) + sum(self.test.values())


def count_scenes(settings: ScenesSettings) -> SceneCounts:
    """Return the number of chips of each class.

    With ``profile=longtail`` class k of C has largest * imbalance^(-k / (C - 1)) for training, else
    each has ``largest``; for testing all have equally many.

    Raises:
        UserError: if the profile leaves a class without images.
    """
    shape: Literal["exponential", "none"]
    shape = "exponential" if settings.profile == "longtail" else "none"
    counts = profile_counts(shape, settings.largest, settings.imbalance, len(CLASS_NAMES))
    return SceneCounts(
        train=dict(zip(CLASS_NAMES, counts, strict=True)),
        test=dict.fromkeys(CLASS_NAMES, settings.test_per_class),
    )


def chip_generator(settings: ScenesSettings, part: str, class_name: str, index: int) -> Generator:
    """Return the generator of one chip, a fixed function of (seed, part, class, index, size)."""
    key = seed_of("scenes", settings.seed, part, class_name, index, settings.size)
    return np.random.default_rng(key)


def write_scenes(
    out: Path, settings: ScenesSettings, progress: Callable[[int], None] | None = None
) -> SceneCounts:
    """Write ``train/<class>/NNNNN.png``, ``test/<class>/NNNNN.png`` and ``scenes.json``.

    With two sensors each has a folder, ``eo`` and ``sar``, in which equal names are the same scene.
    The same call continues an interrupted one: existing chips are kept, and the bytes of a chip
    depend on its own key only.

    Args:
        out: a folder that is new, empty, or was begun with the same settings.
        settings: what to write.
        progress: called after every chip with the number done, of `SceneCounts.total`.

    Returns:
        The number of chips of each class.

    Raises:
        UserError: if OUT holds anything else, or the profile leaves a class without images.
    """
    counts = count_scenes(settings)
    made_with = settings.model_dump(mode="json")
    begin_writing(out, SCENES, made_with)
    for done, (part, class_name, index) in enumerate(_chips(counts), start=1):
        files = _files(out, settings.modality, f"{part}/{class_name}/{index:05d}.png")
        if not all(file.exists() for file in files.values()):
            _write_scene(files, settings, part, class_name, index)
        if progress is not None:
            progress(done)
    finish_writing(out, SCENES, made_with)
    return counts


def _files(out: Path, modality: Modality, name: str) -> dict[str, Path]:
    """Return the file of each sensor; a sensor alone has no folder of its own."""
    sensors = modality.split(",")
    return {sensor: (out if len(sensors) == 1 else out / sensor) / name for sensor in sensors}


def _write_scene(
    files: dict[str, Path], settings: ScenesSettings, part: str, class_name: str, index: int
) -> None:
    rng = chip_generator(settings, part, class_name, index)
    if set(files) == {"eo"}:
        chips = {"eo": draw_chip(class_name, rng, settings.size)}
    else:
        radar_rng = chip_generator(settings, f"{part} radar", class_name, index)
        eo, sar = draw_pair(class_name, rng, radar_rng, settings.size)
        chips = {"eo": eo, "sar": sar}
    for sensor, file in files.items():
        chip_u8 = torch.from_numpy(chips[sensor]).permute(2, 0, 1)
        write_bytes(file, encode_image(chip_u8, "png"))


def _chips(counts: SceneCounts) -> Iterator[tuple[str, str, int]]:
    for part, numbers in (("train", counts.train), ("test", counts.test)):
        for class_name, number in numbers.items():
            for index in range(number):
                yield part, class_name, index
