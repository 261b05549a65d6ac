"""A table of images and their labels, as two sets."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from classify.training.sampling import Drawn, Wanted
from tgn.data.image_set import ImageSet
from tgn.runtime.errors import DataError, NotFoundError
from tgn.runtime.seeds import generator

COLUMNS = ("file", "part", "labels")
SEPARATOR = ";"


@dataclass(frozen=True)
class Labelled:
    """Images and what each shows."""

    images: ImageSet
    labels: Tensor  # 1 where the image shows the class, float [N, C]


@dataclass(frozen=True)
class MultiLabelData:
    """The content of a table of labels."""

    classes: tuple[str, ...]  # sorted by training count, largest first
    train: Labelled
    test: Labelled


def read_labels(table: Path, size: int, bands: int) -> MultiLabelData:
    """Read a CSV table with the columns file, part (train or test) and labels.

    Files are relative to the table; labels are separated by ";" and may be empty.

    Raises:
        NotFoundError: if there is no table.
        DataError: naming the line: a missing file or column, another part, a file named twice; a
            test class without training image; an empty part.
    """
    if not table.is_file():
        raise NotFoundError(f"no table {table}; expected a CSV with columns {', '.join(COLUMNS)}")
    rows: dict[str, list[tuple[Path, frozenset[str]]]] = {"train": [], "test": []}
    seen: set[str] = set()
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(COLUMNS) - set(reader.fieldnames or ()):
            raise DataError(f"{table} lacks the column {sorted(missing)[0]!r}; needs {COLUMNS}")
        for line, row in enumerate(reader, start=2):
            _check(row, seen, f"{table}, line {line}", table.parent)
            seen.add(row["file"])
            names = (name.strip() for name in (row["labels"] or "").split(SEPARATOR))
            shown = frozenset(name for name in names if name)
            rows[row["part"]].append((table.parent / row["file"], shown))
    if empty := [part for part, found in rows.items() if not found]:
        raise DataError(f"{table} has no {empty[0]} images; column part must say train or test")
    classes = _classes(rows, table)
    train, test = (_labelled(rows[part], classes, size, bands) for part in ("train", "test"))
    return MultiLabelData(classes, train, test)


def _classes(rows: dict[str, list[tuple[Path, frozenset[str]]]], table: Path) -> tuple[str, ...]:
    """Return the classes that training images show, the most frequent first."""
    counts = Counter(name for _, shown in rows["train"] for name in shown)
    if not counts:
        raise DataError(f"{table}: no training image shows any class; column labels is empty")
    if strange := sorted({name for _, shown in rows["test"] for name in shown} - set(counts)):
        raise DataError(f"{table}: class {strange[0]!r} is tested but no training image shows it")
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def _check(row: dict[str, str], seen: set[str], where: str, root: Path) -> None:
    if row["part"] not in ("train", "test"):
        raise DataError(f"{where}: part is {row['part']!r}, expected train or test")
    if row["file"] in seen:
        raise DataError(f"{where}: {row['file']} stands there twice")
    if not (root / row["file"]).is_file():
        raise DataError(f"{where}: no file {root / row['file']}")


def _labelled(
    rows: list[tuple[Path, frozenset[str]]], classes: tuple[str, ...], size: int, bands: int
) -> Labelled:
    labels = torch.tensor([[float(name in shown) for name in classes] for _, shown in rows])
    return Labelled(ImageSet([path for path, _ in rows], [0] * len(rows), size, bands), labels)


class MultiLabelMixture:
    """Draws the batch of a step as a function of (seed, step); every image is alike."""

    def __init__(self, data: Labelled) -> None:
        self.data = data
        self.counts = data.labels.sum(0).long()  # training images that show each class, [C]

    def batch(self, wanted: Wanted) -> Drawn:
        """Return the images of a step with their labels [B, C]."""
        draw = generator(wanted.seed, "multi-label batch", wanted.step)
        rows = torch.randint(len(self.data.images), (wanted.size,), generator=draw)
        shown = self.counts / self.counts.sum()
        none = torch.zeros(wanted.size, dtype=torch.bool)
        return Drawn(self.data.images.batch(rows), self.data.labels[rows], none, shown, None)
