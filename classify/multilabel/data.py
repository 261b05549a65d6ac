"""Images with several labels each, read from a table, and their sampling."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from classify.training.sampling import BatchRequest, SampledBatch
from tgn.data.image_set import ImageSet
from tgn.data.tables import table_rows
from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator

COLUMNS = ("file", "part", "labels")
SEPARATOR = ";"  # of labels


@dataclass(frozen=True)
class MultiLabelSet:
    """Images and the labels of each."""

    images: ImageSet
    labels: Tensor  # 1 where the image has the label, float [N, C]


@dataclass(frozen=True)
class MultiLabelData:
    """The training and test part of a table of labels."""

    classes: tuple[str, ...]  # sorted by training count, largest first
    train: MultiLabelSet
    test: MultiLabelSet


def read_labels(table: Path, size: int, bands: int) -> MultiLabelData:
    """Read a CSV table with the columns file, part (train or test) and labels.

    Files are relative to the table; labels are separated by ";"; an image may have none. Columns
    are separated by a comma, semicolon or tab, as the first line shows; a backslash in a file's
    name separates folders.

    Raises:
        NotFoundError: if there is no table.
        DataError: for a missing file or column, another part, a file that is listed twice (naming
            the line); a test label without training image; an empty part.
    """
    rows: dict[str, list[tuple[Path, frozenset[str]]]] = {"train": [], "test": []}
    seen: set[str] = set()
    for line, row in _rows(table):
        _check(row, seen, f"{table}, line {line}", table.parent)
        seen.add(row["file"])
        names = (name.strip() for name in row["labels"].split(SEPARATOR))
        labels = frozenset(name for name in names if name)
        rows[row["part"]].append((table.parent / row["file"], labels))
    if empty := [part for part, found in rows.items() if not found]:
        raise DataError(f"{table} has no {empty[0]} images; column part must say train or test")
    classes = _classes(rows, table)
    train, test = (_label_set(rows[part], classes, size, bands) for part in ("train", "test"))
    return MultiLabelData(classes, train, test)


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines of a table, with their numbers; files with "/" between folders."""
    hint = f"; separate labels by {SEPARATOR!r}, in quotes if it ends a column"
    for number, row in table_rows(table, COLUMNS, hint):
        yield number, row | {"file": row["file"].replace("\\", "/")}


def _classes(rows: dict[str, list[tuple[Path, frozenset[str]]]], table: Path) -> tuple[str, ...]:
    """Return the labels of the training images, the most frequent first."""
    counts = Counter(name for _, labels in rows["train"] for name in labels)
    if not counts:
        raise DataError(f"{table}: no training image has a label; column labels is empty")
    if unknown := sorted({name for _, labels in rows["test"] for name in labels} - set(counts)):
        raise DataError(
            f"{table}: label {unknown[0]!r} is in the test part but no training image has it"
        )
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def _check(row: dict[str, str], seen: set[str], where: str, root: Path) -> None:
    if row["part"] not in ("train", "test"):
        raise DataError(f"{where}: part is {row['part']!r}, expected train or test")
    if "," in row["labels"]:
        raise DataError(f"{where}: labels are {row['labels']!r}; separate them by {SEPARATOR!r}")
    if row["file"] in seen:
        raise DataError(f"{where}: {row['file']} is listed twice")
    if not (root / row["file"]).is_file():
        raise DataError(f"{where}: no file {root / row['file']}")


def _label_set(
    rows: list[tuple[Path, frozenset[str]]], classes: tuple[str, ...], size: int, bands: int
) -> MultiLabelSet:
    labels = torch.tensor([[float(name in own) for name in classes] for _, own in rows])
    images = ImageSet([path for path, _ in rows], [0] * len(rows), size, bands)
    return MultiLabelSet(images, labels)


class MultiLabelSampler:
    """Samples the batch of a step by (seed, step) alone; every image is equally likely."""

    def __init__(self, data: MultiLabelSet) -> None:
        self.data = data
        self.counts = data.labels.sum(0).long()  # training images with each label, [C]

    def batch(self, request: BatchRequest) -> SampledBatch:
        """Return the images of a step with their labels [B, C]."""
        rng = generator(request.seed, "multi-label batch", request.step)
        rows = torch.randint(len(self.data.images), (request.size,), generator=rng)
        prior = self.counts / self.counts.sum()
        none = torch.zeros(request.size, dtype=torch.bool)
        images = self.data.images.batch(rows)
        return SampledBatch(images, self.data.labels[rows], none, prior, None)
