"""The determinism contract of sampling: what image i of a class is generated from.

Image i depends only on (seed, class folder, i): these three give its own random generator. From it
come, in this order, the augmented view of its source image and then whatever numbers the backend
asks for. Its source is row i of the class in the feature bank, counted round. So an image is the
same whichever process generates it, in whatever order, and however many are wanted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from tgn.data.split import Split
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.seeds import seed_of

Option = TypeVar("Option")
NO_SOURCE = -1  # where no real image was drawn from


class Origin(NamedTuple):
    """What one generated image was made from."""

    source: int  # its row in the feature bank, or NO_SOURCE
    seed: int
    others: tuple[str, ...] = ()  # files of further real images whose parts are in it
    view: int | None = None  # code of the symmetry in which the source was seen


@dataclass(frozen=True)
class ImageRandomness:
    """The random numbers of K images.

    Attributes:
        seeds: of each image.
        views: augmented view of each source, the code of a symmetry, [K].
        generators: random generator of each image, on the CPU, from which the view was drawn.
    """

    seeds: list[int]
    views: Tensor
    generators: list[torch.Generator]

    def noise(self, *shape: int) -> Tensor:
        """Return the next standard normal numbers of each image, [K, *shape]."""
        return torch.stack([torch.randn(shape, generator=own) for own in self.generators])

    def choose(self, options: Sequence[Option]) -> list[Option]:
        """Return one of the options for each image, all equally likely."""
        return [
            options[int(torch.randint(len(options), (), generator=own))] for own in self.generators
        ]


@dataclass(frozen=True)
class SamplingPlan(ImageRandomness):
    """What the K images of one block are generated from.

    Attributes:
        sources: row of each source image in the feature bank, [K].
    """

    sources: Tensor

    @property
    def origins(self) -> list[Origin]:
        """What each image is made from, if it is of no other image than its source."""
        drawn = zip(self.sources.tolist(), self.seeds, self.views.tolist(), strict=True)
        return [Origin(source, seed, view=view) for source, seed, view in drawn]


def image_seed(seed: int, folder: str, index: int) -> int:
    """Return the seed of image ``index`` of the class with that folder name."""
    return seed_of(seed, "image", folder, index)


def draw_images(seed: int, folder: str, indices: Iterable[int], views: int) -> ImageRandomness:
    """Return the random numbers of images of a class.

    Args:
        seed: of the whole generation.
        folder: folder name of the class.
        indices: numbers of the images within the class.
        views: how many augmented views a source has; numbers drawn later do not depend on it.
    """
    seeds = [image_seed(seed, folder, index) for index in indices]
    generators = [torch.Generator().manual_seed(own) for own in seeds]
    drawn = torch.tensor([int(torch.randint(views, (), generator=own)) for own in generators])
    return ImageRandomness(seeds, drawn, generators)


def plan_block(
    bank: FeatureBank, split: Split, label: int, block: int, settings: GenerateSettings
) -> SamplingPlan:
    """Return the plan of images K b to K b + K - 1 of a class, K being ``settings.block``.

    A block is always planned whole, so that no byte of an image depends on how many are wanted.

    Args:
        bank: holds the source images of the class.
        split: gives the folder name of the class.
        label: class index.
        block: b, from 0.
        settings: K and the seed of the whole generation.

    Raises:
        NotFoundError: if the bank has no image of the class.
    """
    rows = bank.rows_of(label)
    indices = range(block * settings.block, (block + 1) * settings.block)
    draws = draw_images(settings.seed, split.classes[label].folder, indices, bank.views)
    sources = torch.stack([rows[index % len(rows)] for index in indices])
    return SamplingPlan(draws.seeds, draws.views, draws.generators, sources)
