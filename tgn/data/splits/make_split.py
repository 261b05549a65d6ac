"""The stage ``tgn split``: files are read once, classes ordered by count, parts drawn."""

import hashlib
import os
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from tgn.data.images import check_image
from tgn.data.runs import Run, create_run
from tgn.data.shards import read_file
from tgn.data.split import ClassEntry, Split, write_split
from tgn.data.splits.archives import extract_zip
from tgn.data.splits.class_profiles import number_of_head_classes, profile_counts
from tgn.data.splits.folder_layouts import Layout, find_images
from tgn.data.splits.histogram import draw_histogram
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator

READ_THREADS = 4
Files = dict[str, list[str]]  # class folder -> image files


@dataclass(frozen=True)
class ReadReport:
    """What reading every file once has shown."""

    left_out: list[tuple[str, str]]  # (file, reason)
    repairs: Counter[str]
    digests: dict[str, str]  # file -> sha256 of its bytes


def split_run(
    data: Path, name: str, settings: SplitSettings, progress: Progress
) -> tuple[Run, Split]:
    """Make run ``name`` from a data folder or zip.

    ``run.yaml`` is written last: a split that failed or was killed leaves no run behind.
    """
    run = create_run(name)
    if data.suffix.lower() == ".zip":
        data = extract_zip(data, run.unpacked_data)
    split = make_split(data, run.path, settings, progress)
    write_split(run.split_file, split)
    draw_histogram(split, run.histogram_file)
    run.record("run", settings, data=str(data))
    return run, split


def plan_split(data: Path, settings: SplitSettings, progress: Progress) -> Split:
    """Return the split that :func:`split_run` would make; nothing stays on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        if data.suffix.lower() == ".zip":
            data = extract_zip(data, Path(folder) / "data")
        return make_split(data, Path(folder), settings, progress)


def make_split(data: Path, run_path: Path, settings: SplitSettings, progress: Progress) -> Split:
    """Decide class order, head and tail, and the part of every image.

    Raises:
        DataError: if fewer than two classes remain, or no test image.
    """
    layout = find_images(data)
    notes = list(layout.notes)
    reading = _read_all(layout, progress)
    train, test = _readable(layout, reading, notes)
    if test is None:
        train, test = _hold_out(train, settings, notes)
    else:
        _drop_known(train, test, reading.digests, notes)
    train = _thinned(train, settings)
    train = {name: files for name, files in train.items() if files}
    if len(train) < 2 or not any(test.get(name) for name in train):
        raise DataError(f"{data}: fewer than two classes, or no test image, are left after reading")
    order = sorted(train, key=lambda name: (-len(train[name]), name))
    parts = _parts(train, test, order, settings)
    return Split(
        root=Path(os.path.relpath(layout.root.resolve(), run_path.resolve())).as_posix(),
        classes=tuple(_entry(k, name, layout, parts) for k, name in enumerate(order)),
        num_head=number_of_head_classes(len(order), settings.head_fraction),
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        left_out=tuple(reading.left_out),
        repairs=dict(sorted(reading.repairs.items())),
        notes=tuple(notes + _reading_notes(reading)),
        checksums={file: reading.digests[file][:16] for rows in parts.values() for file, _ in rows},
    )


def _read_all(layout: Layout, progress: Progress) -> ReadReport:
    """Decode every file: what cannot be read now must not stop a training later."""
    parts = [layout.train, layout.test or {}]
    files = [file for part in parts for names in part.values() for file in names]
    reading = ReadReport([], Counter(), {})
    progress.start("read images", len(files))

    def check(file: str) -> tuple[str, str, str, str]:
        data = read_file(layout.root / file)
        digest = hashlib.sha256(data).hexdigest()
        if not data:
            return file, digest, "empty file", ""
        try:
            return file, digest, "", check_image(data, file)
        except DataError as error:
            return file, digest, str(error), ""

    with ThreadPoolExecutor(READ_THREADS) as pool:
        for file, digest, problem, repair in pool.map(check, files):
            reading.digests[file] = digest
            if problem:
                reading.left_out.append((file, problem))
            elif repair:
                reading.repairs[repair] += 1
            progress.advance()
    return reading


def _reading_notes(reading: ReadReport) -> list[str]:
    notes = [f"{n} images: {repair}" for repair, n in sorted(reading.repairs.items())]
    if reading.left_out:
        file, reason = reading.left_out[0]
        count = len(reading.left_out)
        notes.append(f"{count} unreadable images left out, e.g. {file}: {reason}")
    return notes


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
) -> dict[str, tuple[tuple[str, int], ...]]:
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "val": [], "test": []}
    for label, name in enumerate(order):
        shuffled = _shuffled(train[name], settings.seed, "val", name)
        cut = int(len(shuffled) * settings.val_fraction)
        parts["val"] += [(file, label) for file in sorted(shuffled[:cut])]
        parts["train"] += [(file, label) for file in sorted(shuffled[cut:])]
        parts["test"] += [(file, label) for file in sorted(test.get(name, []))]
    return {part: tuple(rows) for part, rows in parts.items()}


def _entry(
    label: int, folder: str, layout: Layout, parts: dict[str, tuple[tuple[str, int], ...]]
) -> ClassEntry:
    counts = {part: sum(row[1] == label for row in rows) for part, rows in parts.items()}
    return ClassEntry(folder=folder, name=layout.names[folder], **counts)


def _shuffled(items: list[str], seed: int, purpose: str, name: str) -> list[str]:
    draw = generator(seed, "split", purpose, name)
    return [items[i] for i in torch.randperm(len(items), generator=draw).tolist()]
