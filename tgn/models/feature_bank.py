"""The feature bank: the tail net's features of training images, kept for generation."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from tgn.models.similar_classes import class_cosines
from tgn.runtime.checkpoints import load_weights, save_weights
from tgn.runtime.errors import NotFoundError
from tgn.runtime.explanations import content_of
from tgn.runtime.files import read_json, write_json
from tgn.runtime.names import leads_outside

FEATURES, INDEX = "bank.safetensors", "bank.json"
TAIL_NET = "tail.safetensors"  # beside the bank: the net whose features it holds


@dataclass(frozen=True)
class FeatureBank:
    """Stage-3 features of N images in V symmetries each.

    They are of every tail image, then of some images of each head class. Banks of older versions
    end with the tail.
    """

    features: Tensor  # float16, [N, V, D, g, g]; view v is of the image turned by code v
    labels: Tensor  # [N]
    files: list[str]  # N image files, relative to the data folder
    weights_sha256: str  # of the tail net

    @property
    def views(self) -> int:
        """V, how many symmetries of each image there are."""
        return self.features.shape[1]

    @cached_property
    def class_cosines(self) -> Tensor:
        """How alike classes are, [C, C]: see the function, of features averaged over places."""
        pooled = torch.stack([view.float().mean((0, 2, 3)) for view in self.features])
        return class_cosines(pooled, self.labels, int(self.labels.max()) + 1)

    def file_of(self, row: int) -> str:
        """Return the file of a row; "" of -1, which stands for no image."""
        return self.files[row] if row >= 0 else ""

    def rows_of(self, label: int) -> Tensor:
        """Return the row numbers of one class.

        Raises:
            NotFoundError: if the bank has no image of the class.
        """
        rows = (self.labels == label).nonzero().flatten()
        if len(rows) == 0:
            raise NotFoundError(f"the feature bank has no image of class number {label}")
        return rows


def write_bank(folder: Path, bank: FeatureBank) -> None:
    """Write ``bank.safetensors`` and then ``bank.json`` into ``folder``."""
    save_weights(folder / FEATURES, {"features": bank.features, "labels": bank.labels})
    write_json(folder / INDEX, {"weights_sha256": bank.weights_sha256, "files": bank.files})


def tail_net_file(folder: Path) -> Path:
    """Return the tail net's file in ``folder``.

    Raises:
        NotFoundError: if it is not there; says which command makes it.
    """
    path = folder / TAIL_NET
    if not path.is_file():
        raise NotFoundError(f"no tail net {path}; make it with: tgn distill")
    return path


def read_bank(folder: Path) -> FeatureBank:
    """Read what :func:`write_bank` wrote.

    Raises:
        NotFoundError: if there is none; says which command makes it.
    """
    if not (folder / INDEX).is_file():
        raise NotFoundError(f"no feature bank in {folder}; make it with: tgn distill")
    index, tensors = read_json(folder / INDEX), load_weights(folder / FEATURES)
    with content_of(folder / INDEX, "make it anew with: tgn distill --no-resume"):
        if any(map(leads_outside, index["files"])):
            raise ValueError("a file of the bank leads outside of the data folder")
        return FeatureBank(tensors["features"], tensors["labels"].to(torch.int64), **index)
