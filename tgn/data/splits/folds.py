"""Folds of cross-validation: which training file was left out of which classifier."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from tgn.runtime.files import read_model, write_json
from tgn.runtime.seeds import generator

FOLDS = "folds.json"


class Folds(BaseModel):
    """K parts of the training files; net k has seen all but part k."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int  # K
    fold_of: dict[str, int]  # training file, as the split names it -> the net that lacks it

    def directory(self, root: Path, fold: int) -> Path:
        """Return the folder of net ``fold`` under the folder of all."""
        return root / f"fold-{fold}"


def make_folds(
    files: Sequence[str],
    labels: Sequence[int],
    count: int,
    seed: int,
    groups: Mapping[str, int] = MappingProxyType({}),
) -> Folds:
    """Deal the files of every class out to ``count`` parts, as evenly as whole groups allow.

    Args:
        files: of the training part.
        labels: of the files.
        count: K.
        seed: of the draw.
        groups: file -> number of its group, which goes to one part; other files are alone.
    """
    classes = torch.tensor(list(labels), dtype=torch.int64)
    folds = deal_out(classes, count, seed, group_numbers(files, groups))
    return Folds(count=count, fold_of=dict(zip(files, folds.tolist(), strict=True)))


def group_numbers(files: Sequence[str], groups: Mapping[str, int]) -> Tensor | None:
    """Return the number of each file's group, [N]; None without groups.

    Args:
        files: N of them.
        groups: file -> number of its group; other files are alone in one.
    """
    if not groups:
        return None
    alone = max(groups.values()) + 1  # numbers from here on: files without a group
    return torch.tensor([groups.get(file, alone + k) for k, file in enumerate(files)])


def deal_out(labels: Tensor, count: int, seed: int, groups: Tensor | None = None) -> Tensor:
    """Return the part of each row, [N], from 0: the rows of every class are dealt out at random.

    Args:
        labels: classes [N].
        count: number of parts.
        seed: of the draw.
        groups: number of each row's group [N], which goes to one part; None: every row is alone.
    """
    found = torch.full_like(labels, -1)
    group_of = _rows_of_groups(groups) if groups is not None else []
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "folds", label))
        if groups is None:
            # Parts of different classes begin at different nets, or net 0 would lack the most.
            found[rows[order]] = (torch.arange(len(rows)) + label) % count
        else:
            _deal_groups(found, rows[order], labels, group_of, count)
    return found


def _rows_of_groups(groups: Tensor) -> list[list[int]]:
    """Return for each row the rows of its group."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    return [members[group] for group in groups.tolist()]


def _deal_groups(
    found: Tensor, rows: Tensor, labels: Tensor, group_of: Sequence[list[int]], count: int
) -> None:
    """Give each row of a class, with its whole group, to the part that has fewest of the class.

    Of equal parts the next one is taken, from the class's number on: as :func:`deal_out` does it
    for rows that are alone.
    """
    label = int(labels[rows[0]])
    dealt = found[rows]
    sizes = torch.bincount(dealt[dealt >= 0], minlength=count).tolist()
    for row in rows.tolist():
        if found[row] < 0:
            part = min(range(count), key=lambda part: (sizes[part], (part - label) % count))
            own = torch.tensor(group_of[row])
            found[own] = part
            sizes[part] += int((labels[own] == label).sum())


def write_folds(folder: Path, folds: Folds) -> None:
    """Write ``folds.json``."""
    write_json(folder / FOLDS, folds.model_dump(mode="json"))


def read_folds(folder: Path) -> Folds:
    """Read what :func:`write_folds` wrote."""
    return read_model(folder / FOLDS, Folds)
