"""The stage ``tgn split``: files are read once, classes ordered by count, parts drawn."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from tgn.data.completion_record import CHIPS, SCENES
from tgn.data.runs import Run, create_run
from tgn.data.split import Part, Split, write_split
from tgn.data.splits.archives import extract_zip
from tgn.data.splits.assignment import Assignment, Rows, assemble_split
from tgn.data.splits.class_profiles import number_of_head_classes, profile_counts
from tgn.data.splits.folder_layouts import Layout, find_images
from tgn.data.splits.from_list import split_from_list
from tgn.data.splits.histogram import draw_histogram
from tgn.data.splits.read_images import ReadReport, read_images
from tgn.data.splits.set_range import with_range
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.data.splits.split_list import (
    HashColumn,
    SplitList,
    list_of_split,
    read_split_list,
    write_split_list,
)
from tgn.runtime.errors import DataError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator

AnySplitSettings = SplitSettings | ListedSplitSettings
SplitRule = Callable[[Path, Path, Progress], tuple[Split, SplitList]]
"""Takes data folder, run folder and progress."""
Files = dict[str, list[str]]  # class folder -> image files


def split_run(
    data: Path, name: str, settings: AnySplitSettings, progress: Progress
) -> tuple[Run, Split]:
    """Make run ``name`` from a data folder or zip.

    ``run.yaml`` is written last: a split that failed or was killed leaves no run behind.

    Args:
        data: the folder or zip.
        name: of the run; the list that is written has it too.
        settings: rules that decide the parts, or the list that names them.
        progress: counts images.
    """
    rule = _split_rule(settings, {"name": name, "data": data.resolve().name})
    run = create_run(name)
    folder = extract_zip(data, run.unpacked_data) if _is_zip(data) else data
    split, listed = rule(folder, run.path, progress)
    split = with_range(split, run.path, settings.range)
    write_split(run.split_file, split)
    write_split_list(run.split_list_file, listed)
    draw_histogram(split, run.histogram_file)
    digest = sha256_of(run.split_list_file)
    known = {"sample_range": split.sample_range} if split.sample_range else {}
    run.record("run", settings, data=str(folder), split_list_sha256=digest, **known)
    return run, split


def plan_split(data: Path, settings: AnySplitSettings, progress: Progress) -> Split:
    """Return the split that :func:`split_run` would make; nothing stays on the disk."""
    rule = _split_rule(settings, {})
    with tempfile.TemporaryDirectory() as folder:
        data = extract_zip(data, Path(folder) / "data") if _is_zip(data) else data
        return with_range(rule(data, Path(folder), progress)[0], Path(folder), settings.range)


def _is_zip(data: Path) -> bool:
    return data.suffix.lower() == ".zip"


def _split_rule(settings: AnySplitSettings, facts: Mapping[str, str]) -> SplitRule:
    """Return what splits a folder; a list is read here, before a large zip is unpacked."""
    if isinstance(settings, ListedSplitSettings):
        return partial(split_from_list, read_split_list(settings.list_file), settings)
    return partial(make_split, settings, facts)


def make_split(
    settings: SplitSettings,
    facts: Mapping[str, str],
    data: Path,
    run_path: Path,
    progress: Progress,
) -> tuple[Split, SplitList]:
    """Decide class order, head and tail, and the part of every image.

    Args:
        settings: the rules.
        facts: comment lines of the list.
        data: the data folder.
        run_path: the run's folder.
        progress: counts images.

    Raises:
        DataError: if fewer than two classes remain, or no test image.
    """
    layout = find_images(data)
    hash_column = _hash_column(layout.root, settings)
    hash_pixels = hash_column == "pixels_sha256"
    reading = read_images(layout.root, layout.files, progress, hash_pixels)
    split = assemble_split(
        layout.root, run_path, _assigned(data, layout, reading, settings), reading
    )
    digests = reading.pixel_digests if hash_pixels else reading.digests
    facts = {**facts, "settings": _settings_line(settings)}
    return split, list_of_split(split, digests, hash_column, facts)


def _hash_column(root: Path, settings: SplitSettings) -> HashColumn:
    """Return what the list hashes.

    PNG files that the toolkit wrote have the same pixels everywhere, but other bytes where Pillow
    finds another zlib (zlib-ng compresses otherwise).
    """
    is_ours = any((root / record).is_file() for record in (CHIPS, SCENES))
    if settings.hash_of == "pixels" or (settings.hash_of == "auto" and is_ours):
        return "pixels_sha256"
    return "sha256"


def _settings_line(settings: SplitSettings) -> str:
    values = settings.model_dump(mode="json", exclude={"hash_of"}, exclude_none=True)
    return " ".join(f"{key}={value}" for key, value in values.items())


def _assigned(
    data: Path, layout: Layout, reading: ReadReport, settings: SplitSettings
) -> Assignment:
    notes = list(layout.notes)
    train, test = _readable(layout, reading, notes)
    if test is None:
        train, test = _hold_out(train, settings, notes)
    else:
        _drop_known(train, test, reading.digests, notes)
    train = _thinned(train, settings)
    train = {name: files for name, files in train.items() if files}
    if len(train) < 2 or not any(test.get(name) for name in train):
        reason = "; ".join(["", *reading.notes()[-1:]]) if reading.left_out else ""
        raise DataError(
            f"{data}: fewer than two classes, or no test image, are left after reading{reason}"
        )
    order = sorted(train, key=lambda name: (-len(train[name]), name))
    return Assignment(
        names={name: layout.names[name] for name in order},
        num_head=number_of_head_classes(len(order), settings.head_fraction),
        parts=_parts(train, test, order, settings),
        notes=notes,
    )


def _readable(layout: Layout, reading: ReadReport, notes: list[str]) -> tuple[Files, Files | None]:
    bad = {file for file, _ in reading.left_out}

    def good(part: Files) -> Files:
        return {name: [f for f in files if f not in bad] for name, files in part.items()}

    train = good(layout.train)
    notes += [f"class {n!r} has no readable training image" for n, f in train.items() if not f]
    return train, good(layout.test) if layout.test is not None else None


def _hold_out(train: Files, settings: SplitSettings, notes: list[str]) -> tuple[Files, Files]:
    """Draw the test part of plain class folders, class by class; one image stays in training."""
    rest, test = {}, {}
    for name, files in train.items():
        wanted = settings.test_per_class or round(len(files) * settings.test_fraction)
        wanted = max(min(wanted, len(files) - 1), 0)
        shuffled = _shuffled(files, settings.seed, "test", name)
        test[name], rest[name] = shuffled[:wanted], sorted(shuffled[wanted:])
        if not wanted:
            notes.append(f"class {name!r} is too small to hold out test images")
    return rest, test


def _drop_known(train: Files, test: Files, digests: dict[str, str], notes: list[str]) -> None:
    """Take images out of training whose very bytes are in the test part."""
    known = {digests[file] for files in test.values() for file in files}
    for name, files in train.items():
        kept = [file for file in files if digests[file] not in known]
        if len(kept) < len(files):
            lost = len(files) - len(kept)
            notes.append(f"class {name!r}: {lost} training images are also test images; dropped")
            train[name] = kept


def _thinned(train: Files, settings: SplitSettings) -> Files:
    """Keep a seeded choice of each class's images, as many as the profile says."""
    if settings.profile == "none" and settings.largest is None:
        return train
    order = sorted(train, key=lambda name: (-len(train[name]), name))
    if settings.class_order == "seeded":
        order = _shuffled(sorted(train), settings.seed, "order", "")
    largest = settings.largest or len(train[order[0]])
    counts = profile_counts(settings.profile, largest, settings.imbalance, len(order))
    return {
        name: sorted(_shuffled(train[name], settings.seed, "thin", name)[:count])
        for name, count in zip(order, counts, strict=True)
    }


def _parts(
    train: Files, test: Files, order: list[str], settings: SplitSettings
) -> dict[Part, Rows]:
    parts: dict[Part, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(order):
        shuffled = _shuffled(train[name], settings.seed, "val", name)
        cut = int(len(shuffled) * settings.val_fraction)
        parts["val"] += [(file, label) for file in sorted(shuffled[:cut])]
        parts["train"] += [(file, label) for file in sorted(shuffled[cut:])]
        parts["test"] += [(file, label) for file in sorted(test.get(name, []))]
    return {part: tuple(rows) for part, rows in parts.items()}


def _shuffled(items: list[str], seed: int, purpose: str, name: str) -> list[str]:
    draw = generator(seed, "split", purpose, name)
    return [items[i] for i in torch.randperm(len(items), generator=draw).tolist()]
