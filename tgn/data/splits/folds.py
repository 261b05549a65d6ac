"""Folds of cross-validation: which training file was left out of which classifier."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

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
    fold_of: dict[str, int] = {}
    for label in sorted(set(labels)):
        own = [file for file, k in zip(files, labels, strict=True) if k == label]
        order = torch.randperm(len(own), generator=generator(seed, "folds", label)).tolist()
        # Parts of different classes begin at different nets, or net 0 would lack the most.
        fold_of |= {own[row]: (place + label) % count for place, row in enumerate(order)}
    return Folds(count=count, fold_of=fold_of)


def write_folds(folder: Path, folds: Folds) -> None:
    """Write ``folds.json``."""
    write_json(folder / FOLDS, folds.model_dump(mode="json"))


def read_folds(folder: Path) -> Folds:
    """Read what :func:`write_folds` wrote."""
    return Folds.model_validate(read_json(folder / FOLDS))
