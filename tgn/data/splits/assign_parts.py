"""The rules of a split: which images train, validate and test, and the order of the classes."""

from pathlib import Path

import torch

from tgn.data.image_files import left_out_notes
from tgn.data.split import Part
from tgn.data.splits.assignment import Assignment, Rows
from tgn.data.splits.class_profiles import number_of_head_classes, profile_counts
from tgn.data.splits.image_groups import Groups, draw_groups, equal_images, group_images
from tgn.data.splits.layout import Files, Layout
from tgn.data.splits.read_images import ReadReport
from tgn.data.splits.settings import SplitSettings
from tgn.data.splits.split_list import PARTS
from tgn.runtime.errors import SHOWN_PROBLEMS, DataError
from tgn.runtime.seeds import generator


def assign_parts(
    data: Path, layout: Layout, reading: ReadReport, settings: SplitSettings
) -> Assignment:
    """Return class order, head and tail, and the part of every image that can be read.

    Args:
        data: the data folder, for messages.
        layout: the images found; gets notes and what else is left out.
        reading: of these images.
        settings: the rules.

    Raises:
        DataError: if fewer than two classes remain, or no test image.
    """
    bad = {file for file, _ in reading.left_out}
    files = [file for file in layout.files if file not in bad]
    digests = reading.digests | reading.pixel_digests
    groups = group_images(layout.root, files, digests)
    conflicts = _note_equal(layout, files, digests)
    train, held_out = _readable(layout, bad)
    if "test" in held_out:
        train = _drop_known(layout, train, held_out, digests)
    else:
        train, held_out["test"] = _hold_out(train, settings, groups, layout.notes)
    train = _thinned(train, settings)
    train = {name: files for name, files in train.items() if files}
    if len(train) < 2 or not any(held_out["test"].get(name) for name in train):
        reason = "".join(f"; {note}" for note in reading.notes()[-1:] if reading.left_out)
        raise DataError(
            f"{data}: fewer than two classes, or no test image, are left after reading{reason}"
        )
    order = sorted(train, key=lambda name: (-len(train[name]), name))
    if "val" not in held_out:
        train, held_out["val"] = _draw_validation(train, order, settings, groups)
    return Assignment(
        names={name: layout.names[name] for name in order},
        num_head=number_of_head_classes(len(order), settings.head_fraction),
        parts=_parts({"train": train, **held_out}, order),
        notes=layout.notes,
        left_out=layout.left_out,
        groups=groups,
        conflicts=conflicts,
    )


def _readable(layout: Layout, bad: set[str]) -> tuple[Files, dict[Part, Files]]:
    train = _without(layout.train, bad)
    empty = [name for name, files in train.items() if not files]
    layout.notes += [f"class {name!r} has no readable training image" for name in empty]
    return train, {part: _without(files, bad) for part, files in layout.held_out.items()}


def _without(part: Files, bad: set[str]) -> Files:
    return {name: [file for file in files if file not in bad] for name, files in part.items()}


def _note_equal(layout: Layout, files: list[str], digests: dict[str, str]) -> list[list[str]]:
    """Say which images are equal to others; return those that are in two classes."""
    class_of = {
        file: name
        for part in (layout.train, *layout.held_out.values())
        for name, inside in part.items()
        for file in inside
    }
    equal = equal_images(files, digests)
    if equal:
        count = sum(len(same) for same in equal)
        shown = f"{len(equal)} images, e.g. {' = '.join(equal[0][:3])}"
        layout.notes.append(f"{count} files have the bytes of {shown}; equal ones go to one part")
    conflicts = [same for same in equal if len({class_of[file] for file in same}) > 1]
    if conflicts:
        shown = "; ".join(" = ".join(same) for same in conflicts[:SHOWN_PROBLEMS])
        more = len(conflicts) - SHOWN_PROBLEMS
        rest = f"; {more} more, all are in conflicts of split.json" if more > 0 else ""
        layout.notes.append(f"conflict: {len(conflicts)} images are in two classes: {shown}{rest}")
    return conflicts


def _hold_out(
    train: Files, settings: SplitSettings, groups: Groups, notes: list[str]
) -> tuple[Files, Files]:
    """Draw the test part of plain class folders, class by class; one image stays in training."""
    order = {name: _shuffled(files, settings.seed, "test", name) for name, files in train.items()}
    wanted = {}
    for name, files in train.items():
        count = settings.test_per_class or round(len(files) * settings.test_fraction)
        wanted[name] = max(min(count, len(files) - 1), 0)
    drawn = draw_groups(order, wanted, groups)
    test = {name: [file for file in files if file in drawn] for name, files in order.items()}
    notes += [
        f"class {name!r} is too small to hold out test images"
        if not wanted[name]
        else f"class {name!r}: its images belong together, none could be held out for the test"
        for name, files in test.items()
        if not files
    ]
    rest = {name: sorted(files) for name, files in _without(train, drawn).items()}
    return rest, test


def _drop_known(
    layout: Layout, train: Files, held_out: dict[Part, Files], digests: dict[str, str]
) -> Files:
    """Take images out of training, and out of validation, whose very bytes are in a later part."""
    known = {digests[file] for files in held_out["test"].values() for file in files}

    def without_known(part: Files, what: str) -> Files:
        kept = {}
        for name, files in part.items():
            kept[name] = [file for file in files if digests[file] not in known]
            lost = [file for file in files if digests[file] in known]
            if lost:
                layout.leave_out(lost, f"class {name!r}: {what}")
        return kept

    before = len(layout.left_out)
    if "val" in held_out:
        validation = without_known(held_out["val"], "validation images are also test images")
        held_out["val"] = validation
        known |= {digests[file] for files in validation.values() for file in files}
    what = "test or validation" if "val" in held_out else "test"
    train = without_known(train, f"training images are also {what} images")
    layout.notes += left_out_notes(layout.left_out[before:])
    return train


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


def _draw_validation(
    train: Files, order: list[str], settings: SplitSettings, groups: Groups
) -> tuple[Files, Files]:
    shuffled = {name: _shuffled(train[name], settings.seed, "val", name) for name in order}
    wanted = {name: int(len(files) * settings.val_fraction) for name, files in shuffled.items()}
    drawn = draw_groups(shuffled, wanted, groups)
    validation = {name: [f for f in files if f in drawn] for name, files in shuffled.items()}
    return _without(train, drawn), validation


def _parts(files_of: dict[Part, Files], order: list[str]) -> dict[Part, Rows]:
    parts: dict[Part, Rows] = {}
    for part in PARTS:
        files = files_of[part]
        parts[part] = tuple(
            (file, label)
            for label, name in enumerate(order)
            for file in sorted(files.get(name, []))
        )
    return parts


def _shuffled(items: list[str], seed: int, purpose: str, name: str) -> list[str]:
    draw = generator(seed, "split", purpose, name)
    return [items[i] for i in torch.randperm(len(items), generator=draw).tolist()]
