"""The stage ``tgn split``: files are read once, classes ordered by count, parts drawn."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tgn.data.completion_record import CHIPS, SCENES, has_record
from tgn.data.runs import Run, new_run
from tgn.data.split import Split, write_split
from tgn.data.splits.archives import extract_zip, keep_unpacked, remove_unfinished
from tgn.data.splits.assign_parts import assign_parts
from tgn.data.splits.assignment import assemble_split
from tgn.data.splits.folder_layouts import find_images
from tgn.data.splits.from_list import split_from_list
from tgn.data.splits.histogram import draw_histogram
from tgn.data.splits.layout import Layout
from tgn.data.splits.read_images import read_images
from tgn.data.splits.set_range import with_range
from tgn.data.splits.settings import ListedSplitSettings, SplitSettings
from tgn.data.splits.split_list import (
    HashColumn,
    SplitList,
    list_of_split,
    read_split_list,
    write_split_list,
)
from tgn.runtime.errors import ListedProblemsError, UserError
from tgn.runtime.files import sha256_of, write_text
from tgn.runtime.progress import Progress

AnySplitSettings = SplitSettings | ListedSplitSettings
SplitRule = Callable[[Path, Path, Progress], tuple[Split, SplitList]]
"""Takes data folder, run folder and progress."""
PROBLEMS = "problems.txt"  # in the run's folder, where there are too many for a message


def split_run(
    data: Path, name: str, settings: AnySplitSettings, progress: Progress
) -> tuple[Run, Split]:
    """Make run ``name`` from a data folder or zip.

    ``run.yaml`` is written last: a split that failed or was killed leaves no run behind. Of two
    that make a run of one name at a time, one goes on.

    Args:
        data: the folder or zip.
        name: of the run; the list that is written has it too.
        settings: rules that decide the parts, or the list that names them.
        progress: counts images.
    """
    rule = _split_rule(settings, {"name": name, "data": data.resolve().name})
    with new_run(name) as run:
        return run, _write_split(run, data, rule, settings, progress)


def _write_split(
    run: Run, data: Path, rule: SplitRule, settings: AnySplitSettings, progress: Progress
) -> Split:
    remove_unfinished(run.unpacked_data)
    folder = extract_zip(data, run.unpacked_data) if _is_zip(data) else data
    try:
        split, listed = rule(folder, run.path, progress)
    except ListedProblemsError as error:
        file = run.path / PROBLEMS
        write_text(file, "".join(f"{problem}\n" for problem in error.problems))
        raise ListedProblemsError(error.what, error.problems, file) from None
    split = with_range(split, run.path, settings.range)
    write_split(run.split_file, split)
    write_split_list(run.split_list_file, listed)
    draw_histogram(split, run.histogram_file)
    digest = sha256_of(run.split_list_file)
    known = {"sample_range": split.sample_range} if split.sample_range else {}
    run.record("run", settings, data=str(folder), split_list_sha256=digest, **known)
    keep_unpacked(run.unpacked_data)
    return split


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
        UserError: for a setting of a part that the data has already.
    """
    layout = find_images(data, settings.names)
    _require_effect(settings, layout)
    hash_column = _hash_column(layout.root, settings)
    hash_pixels = hash_column == "pixels_sha256"
    reading = read_images(layout.root, layout.files, progress, hash_pixels)
    split = assemble_split(
        layout.root, run_path, assign_parts(data, layout, reading, settings), reading
    )
    digests = reading.pixel_digests if hash_pixels else reading.digests
    facts = {**facts, "settings": _settings_line(settings)}
    return split, list_of_split(split, digests, hash_column, facts)


def _require_effect(settings: SplitSettings, layout: Layout) -> None:
    """Refuse how to draw a part that the data has already."""
    draws = {"test": ("test_fraction", "test_per_class"), "val": ("val_fraction",)}
    for part in layout.held_out:
        if given := [name for name in draws[part] if name in settings.model_fields_set]:
            raise UserError(
                f"{given[0]} got data with a {part} part of its own, so that none is drawn; leave "
                f"{given[0]} out, or move the {part} part away"
            )


def _hash_column(root: Path, settings: SplitSettings) -> HashColumn:
    """Return what the list hashes.

    PNG files that the toolkit wrote have the same pixels everywhere, but other bytes where Pillow
    finds another zlib (zlib-ng compresses otherwise).
    """
    is_ours = any(has_record(root, record) for record in (CHIPS, SCENES))
    if settings.hash_of == "pixels" or (settings.hash_of == "auto" and is_ours):
        return "pixels_sha256"
    return "sha256"


def _settings_line(settings: SplitSettings) -> str:
    values = settings.model_dump(mode="json", exclude={"hash_of"}, exclude_none=True)
    return " ".join(f"{key}={value}" for key, value in values.items())
