"""What ``paste=`` names: which pictures of rare classes are pasted, checked before a training."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from classify.detection.boxes.polygons import fit_rectangles
from classify.detection.data.dataset import MIN_OBLIQUE, DetectionDataset
from classify.detection.data.parts import Parts
from classify.detection.data.pasted_objects import (
    ObjectPicture,
    ObjectPictures,
    PicturesOfFiles,
    RealObjects,
    turned_corners,
)
from classify.detection.data.pasting import Pasting, object_sizes, symmetries
from classify.detection.settings.detector import DetectSettings
from classify.detection.settings.long_tail import REAL
from tgn.data.annotations.chip_table import CHIP_TABLE, Chip, read_chip_tables
from tgn.data.manifest import ManifestRow, active_rows, fingerprint
from tgn.data.runs import Run, find_run
from tgn.runtime.errors import UserError

HELD_OUT = ("val/", "test/")  # parts of a folder of chips that are not trained on
CUT_ANEW = "cut them with the same call of tgn chips, which writes it"


def open_pasting(data: DetectionDataset, parts: Parts, settings: DetectSettings) -> Pasting | None:
    """Find the pictures that are pasted; None if nothing is.

    Args:
        data: training images, or tiles; they say which classes are rare, and the sizes.
        parts: of the data; no picture may be of a test or validation image.
        settings: of the training.

    Raises:
        NotFoundError: if there is no such run.
        UserError: if nothing is rare or has a picture, places of objects are not known, or the
            pictures know images of the test part.
    """
    if not settings.paste:
        return None
    rare = _rare_classes(data, settings.paste_below)
    opened = [_open_source(source, data, parts, rare, settings) for source in settings.paste]
    return Pasting(
        tuple(one.pictures for one in opened),
        object_sizes(data),
        settings.paste_share,
        symmetries(settings),
        f"{', '.join(one.in_words for one in opened)} go into {settings.paste_share:.0%} of the "
        "images drawn",
        "".join(one.digest for one in opened),
    )


class _Source(NamedTuple):
    pictures: ObjectPictures
    in_words: str
    digest: str = ""


def _open_source(
    source: str, data: DetectionDataset, parts: Parts, rare: list[int], settings: DetectSettings
) -> _Source:
    names = {data.classes[label].casefold(): label for label in rare}
    pictures: ObjectPictures
    digest = ""
    if source == REAL:
        pictures = RealObjects(data, rare)
    elif chips := _chips_in(Path(source)):
        found, digest = _of_chips(Path(source), chips, parts, settings.is_rotated)
        pictures = PicturesOfFiles(_by_label(found, names))
    else:
        found, digest = _of_run(find_run(source), parts, settings.is_rotated)
        pictures = PicturesOfFiles(_by_label(found, names))
    if not pictures.counts:
        wanted = ", ".join(data.classes[label] for label in rare)
        raise UserError(
            f"paste={source} has no picture of a class that is pasted ({wanted}: fewer than "
            f"{settings.paste_below} objects); draw them, or set paste_below"
        )
    counts = ", ".join(f"{data.classes[label]} ({n})" for label, n in pictures.counts.items())
    return _Source(pictures, f"paste={source}: pictures of {counts}", digest)


def _rare_classes(data: DetectionDataset, below: int) -> list[int]:
    counts = Counter(
        label for image in data.images for label in image.labels[~image.crowd].tolist()
    )
    rare = [label for label in range(len(data.classes)) if 0 < counts[label] < below]
    if not rare:
        least = min(counts, key=lambda label: (counts[label], label))
        raise UserError(
            f"no class has fewer objects than paste_below={below}; {data.classes[least]} has the "
            f"fewest, {counts[least]}"
        )
    return rare


def _chips_in(folder: Path) -> dict[str, Chip]:
    return read_chip_tables(folder) if folder.is_dir() else {}


def _by_label(
    found: Iterator[tuple[str, ObjectPicture]], label_of: Mapping[str, int]
) -> dict[int, list[ObjectPicture]]:
    pictures: dict[int, list[ObjectPicture]] = {}
    for class_name, picture in found:
        label = label_of.get(class_name.casefold())
        if label is not None:
            pictures.setdefault(label, []).append(picture)
    return pictures


def _of_chips(
    folder: Path, chips: Mapping[str, Chip], parts: Parts, rotated: bool
) -> tuple[Iterator[tuple[str, ObjectPicture]], str]:
    """Return the chips of a folder's training part, none of a test image, and a digest."""
    if rotated and not _has_oblique(chips):
        raise UserError(
            f"{folder} has chips of upright boxes, detector=rotated-retinanet needs the angles of "
            "pasted objects; take paste=real, or chips of labels that have angles"
        )
    held_out = _Images(parts.test, parts.validation)
    kept = {
        file: chip
        for file, chip in chips.items()
        if not file.startswith(HELD_OUT) and chip.image not in held_out
    }
    digest = hashlib.sha256(repr(sorted(kept.items())).encode()).hexdigest()
    found = (
        (chip.class_name, ObjectPicture(folder / file, _corners_in(chip)))
        for file, chip in kept.items()
        if _is_whole(chip)
    )
    return found, digest


def _of_run(
    run: Run, parts: Parts, rotated: bool
) -> tuple[Iterator[tuple[str, ObjectPicture]], str]:
    """Return the generated images of a run whose object's place is known, and a digest."""
    if rotated:
        raise UserError(
            f"paste={run.name} are drawn objects, whose angles are not known; "
            "detector=rotated-retinanet takes paste=real"
        )
    split = run.split()
    root = (run.path / split.root).resolve()
    chips = read_chip_tables(root)
    if not chips:
        raise UserError(
            f"the data of run {run.name!r}, {root}, has no {CHIP_TABLE}: it does not say where the "
            f"objects are; if they are chips, {CUT_ANEW}"
        )
    tested = _Images(parts.test)
    seen = sum(chips[file].image in tested for file, _ in split.train if file in chips)
    if seen:
        raise UserError(
            f"run {run.name!r} learned from {seen} chips of images of the test part; give the "
            "test part (--test LABELS IMAGES), and cut chips of the training part alone"
        )
    held_out = _Images(parts.validation)
    usable = {
        file: chip for file, chip in chips.items() if _is_whole(chip) and chip.image not in held_out
    }
    return _drawn(run, usable), fingerprint(run.generated, split)


def _drawn(run: Run, chips: Mapping[str, Chip]) -> Iterator[tuple[str, ObjectPicture]]:
    """Yield the pictures that were drawn from the chips, with their classes."""
    for row in active_rows(run.generated, run.split()):
        chip = chips.get(row.source_file)
        if chip is not None and row.view is not None and not _is_crop(row):
            corners = turned_corners(_corners_in(chip), row.view)
            yield chip.class_name, ObjectPicture(run.generated / row.file, corners)


def _is_crop(row: ManifestRow) -> bool:
    """Return whether it was drawn from a rotated crop of its source: the place is not known."""
    return bool(row.how) and json.loads(row.how).get("crop", 1) != 1


def _corners_in(chip: Chip) -> Tensor:
    return torch.tensor(chip.corners_in_chip, dtype=torch.float32)


def _is_whole(chip: Chip) -> bool:
    """Return whether a chip shows its whole object: that of an object at a border may not."""
    return all(0 <= place <= 1 for corner in chip.corners_in_chip for place in corner)


def _has_oblique(chips: Mapping[str, Chip]) -> bool:
    corners = torch.tensor([chip.corners for chip in chips.values()], dtype=torch.float64)
    return bool(((2 * fit_rectangles(corners)[:, 4]).sin().abs() > MIN_OBLIQUE).any())


class _Images:
    """The images of some parts; one that a table names and that is gone is known by its name."""

    def __init__(self, *parts: DetectionDataset | None) -> None:
        images = [image for part in parts if part is not None for image in part.images]
        self._paths = {image.path.resolve() for image in images}
        self._names = {path.name for path in self._paths}

    def __contains__(self, image: Path) -> bool:
        if image.exists():
            return image.resolve() in self._paths
        return image.name in self._names
