"""What a split decides, however it was decided, and the :class:`Split` that follows from it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tgn.data.split import ClassEntry, Part, Split
from tgn.data.splits.read_images import ReadReport

Rows = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Assignment:
    """Order and names of the classes, head and tail, and the part of every image.

    Attributes:
        names: class folder -> name for people, in class order.
        num_head: the first so many classes are head.
        parts: part -> (file, class index).
        notes: lines for people.
        left_out: (file, reason) of files that are no images of the set.
        groups: file -> number of the images that belong together.
        conflicts: sets of equal images in different classes.
    """

    names: dict[str, str]
    num_head: int
    parts: dict[Part, Rows]
    notes: list[str]
    left_out: Sequence[tuple[str, str]] = ()
    groups: Mapping[str, int] = field(default_factory=dict)
    conflicts: Sequence[Sequence[str]] = ()


def assemble_split(root: Path, run_path: Path, chosen: Assignment, reading: ReadReport) -> Split:
    """Return the content of ``split.json``.

    Args:
        root: the data folder; stored relative to ``run_path``, so that both can move together.
        run_path: the run's folder.
        chosen: the decision.
        reading: of every file of the parts.
    """
    files = [file for rows in chosen.parts.values() for file, _ in rows]
    return Split(
        root=Path(os.path.relpath(root.resolve(), run_path.resolve())).as_posix(),
        classes=tuple(
            _entry(label, folder, name, chosen.parts)
            for label, (folder, name) in enumerate(chosen.names.items())
        ),
        num_head=chosen.num_head,
        train=chosen.parts["train"],
        val=chosen.parts["val"],
        test=chosen.parts["test"],
        left_out=(*chosen.left_out, *reading.left_out),
        repairs=dict(sorted(reading.repairs.items())),
        notes=tuple(chosen.notes + reading.notes()),
        groups={file: chosen.groups[file] for file in files if file in chosen.groups},
        conflicts=tuple(tuple(same) for same in chosen.conflicts),
        checksums={file: reading.digests[file][:16] for file in files},
    )


def _entry(label: int, folder: str, name: str, parts: dict[Part, Rows]) -> ClassEntry:
    counts = {part: sum(row[1] == label for row in rows) for part, rows in parts.items()}
    return ClassEntry(
        folder=folder,
        name=name,
        train=counts["train"],
        val=counts["val"],
        test=counts["test"],
    )
