"""The determinism contract of sampling: what image i of a class is generated from.

Image i depends only on (seed, class folder, i): these three give its own random generator. From it
come, in this order, the augmented view of its source image and then whatever numbers the backend
asks for. Its source is row i of the class in the feature bank, counted round. So an image is the
same whichever process generates it, in whatever order, and however many are wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from tgn.models.feature_bank import FeatureBank
from tgn.runtime.seeds import seed_of

Option = TypeVar("Option")


@dataclass(frozen=True)
class SamplingPlan:
    """What the K images of one block are generated from.

    Attributes:
        seeds: of each image.
        sources: row of each source image in the feature bank, [K].
        views: augmented view of each source, the code of a symmetry, [K].
        generators: random generator of each image, on the CPU, from which the view is drawn.
    """

    seeds: list[int]
    sources: Tensor
    views: Tensor
    generators: list[torch.Generator]

    @property
    def origins(self) -> list[tuple[int, int]]:
        """(bank row, seed) of each image."""
        return list(zip(self.sources.tolist(), self.seeds, strict=True))

    def noise(self, *shape: int) -> Tensor:
        """Return the next standard normal numbers of each image, [K, *shape]."""
        return torch.stack([torch.randn(shape, generator=own) for own in self.generators])

    def choose(self, options: Sequence[Option]) -> list[Option]:
        """Return one of the options for each image, all equally likely."""
        return [
            options[int(torch.randint(len(options), (), generator=own))] for own in self.generators
        ]


def image_seed(seed: int, folder: str, index: int) -> int:
    """Return the seed of image ``index`` of the class with that folder name."""
    return seed_of(seed, "image", folder, index)


def plan_block(
    bank: FeatureBank, label: int, folder: str, block: int, *, size: int, seed: int
) -> SamplingPlan:
    """Return the plan of images ``size * block`` to ``size * (block + 1) - 1`` of a class.

    A block is always planned whole, so that no byte of an image depends on how many are wanted.

    Args:
        bank: holds the source images of the class.
        label: class index.
        folder: folder name of the class.
        block: number of the block, from 0.
        size: K, images a block.
        seed: of the whole generation.

    Raises:
        NotFoundError: if the bank has no image of the class.
    """
    rows = bank.rows_of(label)
    indices = range(block * size, (block + 1) * size)
    seeds = [image_seed(seed, folder, index) for index in indices]
    generators = [torch.Generator().manual_seed(own) for own in seeds]
    views = torch.tensor([int(torch.randint(bank.views, (), generator=own)) for own in generators])
    sources = torch.stack([rows[index % len(rows)] for index in indices])
    return SamplingPlan(seeds, sources, views, generators)
