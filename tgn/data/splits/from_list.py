"""``tgn split DATA --from FILE``: the parts that a list names, every image checked by its hash."""

from dataclasses import replace
from pathlib import Path

from tgn.data.shards import portable_name
from tgn.data.split import Part, Split
from tgn.data.splits.assignment import Assignment, Rows, assemble_split
from tgn.data.splits.class_names import class_names
from tgn.data.splits.folder_layouts import find_images
from tgn.data.splits.image_groups import group_images
from tgn.data.splits.layout import Layout
from tgn.data.splits.read_images import read_images
from tgn.data.splits.settings import ListedSplitSettings
from tgn.data.splits.split_list import PARTS, SplitList
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress

Stored = dict[str, str]  # file, as the list names it -> as the split names it


def split_from_list(
    listed: SplitList,
    settings: ListedSplitSettings,
    data: Path,
    run_path: Path,
    progress: Progress,
) -> tuple[Split, SplitList]:
    """Return the split that a list describes, and the list with the hashes of these images.

    Args:
        listed: the list.
        settings: where it is from, and whether its hashes must hold.
        data: a folder; images that are not listed are left out.
        run_path: the run's folder.
        progress: counts images.

    Raises:
        DataError: if an image is missing, cannot be read, or has another hash.
    """
    layout = find_images(data)
    names = class_names(layout.root, listed.classes, settings.names)
    stored, others = _find(data, layout, listed, settings.list_file)
    hash_pixels = listed.hash_column == "pixels_sha256"
    reading = read_images(layout.root, list(stored.values()), progress, hash_pixels)
    if reading.left_out:
        (file, reason), count = reading.left_out[0], len(reading.left_out)
        raise DataError(
            f"{data}: {count} images of {settings.list_file} cannot be read, e.g. {file}: "
            f"{reason}; put whole files in their place"
        )
    notes = [f"{others} images of {data} are not in {settings.list_file.name}: left out"]
    digests = reading.pixel_digests if hash_pixels else reading.digests
    found = {file: digests[name] for file, name in stored.items()}
    notes = (notes if others else []) + _compare(data, listed, found, settings)
    groups = group_images(layout.root, stored.values(), reading.digests | reading.pixel_digests)
    chosen = replace(_assigned(listed, stored, names, notes), groups=groups)
    split = assemble_split(layout.root, run_path, chosen, reading)
    rows = tuple(row._replace(digest=found[row.file]) for row in listed.rows)
    return split, replace(listed, rows=rows)


def _find(data: Path, layout: Layout, listed: SplitList, list_file: Path) -> tuple[Stored, int]:
    """Return where the listed images are, and how many images are not listed."""
    files = layout.files
    known = {portable_name(file): file for file in files} | {file: file for file in files}
    missing = [row.file for row in listed.rows if row.file not in known]
    if missing:
        raise DataError(
            f"{data} lacks {len(missing)} of the {len(listed.rows)} images of {list_file}, e.g. "
            f"{missing[0]}; give the whole data set that the list was made from, its folders kept"
        )
    return {row.file: known[row.file] for row in listed.rows}, len(files) - len(listed.rows)


def _compare(
    data: Path, listed: SplitList, found: dict[str, str], settings: ListedSplitSettings
) -> list[str]:
    """Refuse images with another hash; return a note of them if hashes need not hold."""
    other = [row for row in listed.rows if found[row.file] != row.digest]
    if not other:
        return []
    first = other[0]
    what = (
        f"{len(other)} of the {len(listed.rows)} images differ from those of {settings.list_file} "
        f"({listed.hash_column}), e.g. {first.file}"
    )
    if settings.check_hashes:
        raise DataError(
            f"{data}: {what}: got {found[first.file][:12]}..., expected {first.digest[:12]}...; "
            "take the data that the list was made from, or its file names alone: --set "
            "check_hashes=false"
        )
    return [f"{what}; the run's split.csv has the hashes of these images"]


def _assigned(
    listed: SplitList, stored: Stored, names: dict[str, str], notes: list[str]
) -> Assignment:
    label = {folder: place for place, folder in enumerate(listed.classes)}

    def rows_of(part: Part) -> Rows:
        rows = [(stored[r.file], label[r.folder]) for r in listed.rows if r.part == part]
        return tuple(sorted(rows, key=lambda row: (row[1], row[0])))

    return Assignment(
        names=names,
        num_head=listed.num_head,
        parts={part: rows_of(part) for part in PARTS},
        notes=notes,
    )
