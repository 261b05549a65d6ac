"""Folds of cross-validation: which training file was left out of which classifier."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from tgn.runtime.files import read_json, write_json
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


def make_folds(files: Sequence[str], labels: Sequence[int], count: int, seed: int) -> Folds:
    """Deal the files of every class out to ``count`` parts, as evenly as whole numbers allow."""
    folds = deal_out(torch.tensor(list(labels), dtype=torch.int64), count, seed)
    return Folds(count=count, fold_of=dict(zip(files, folds.tolist(), strict=True)))


def deal_out(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return the part of each row, [N], from 0: the rows of every class are dealt out at random."""
    found = torch.empty_like(labels)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "folds", label))
        # Parts of different classes begin at different nets, or net 0 would lack the most.
        found[rows[order]] = (torch.arange(len(rows)) + label) % count
    return found


def write_folds(folder: Path, folds: Folds) -> None:
    """Write ``folds.json``."""
    write_json(folder / FOLDS, folds.model_dump(mode="json"))


def read_folds(folder: Path) -> Folds:
    """Read what :func:`write_folds` wrote."""
    return Folds.model_validate(read_json(folder / FOLDS))
