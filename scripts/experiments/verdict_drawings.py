"""The splits of ``verdict_check.py``, and the images of sources of any quality."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from verdict_data import Pool

from tgn.data.images import to_pm1, to_u8
from tgn.generation.cdtg.recombination import NOISE_DIM, Recombination
from tgn.probe.settings import GENERATED_BELOW
from tgn.runtime.seeds import generator

LARGEST, SMALLEST = (40, 170), (3, 12)
DRAWINGS, NOISE = 30, 0.7
SOURCES = ("recombined", "fresh", "strangers", "grain")
COARSE, GRAIN = 16, 0.2  # of "grain": pixels, and deviation of the noise of pixels in [0, 1]


class DrawnSplit(NamedTuple):
    """Rows of a pool, and the place of each class in the order from frequent to rare."""

    train: Tensor
    fresh: Tensor  # of classes with fewer than 20 training images
    test: Tensor
    place: Tensor  # of each class of the pool, [C]


class Drawings(NamedTuple):
    """The images of a source.

    Attributes:
        pixels: uint8 [M, 3, 64, 64].
        labels: places of the classes that they are meant to show, [M].
        made_from: training rows within, [M, 3]; -1: none.
    """

    pixels: Tensor
    labels: Tensor
    made_from: Tensor


def draw_split(name: str, labels: Tensor, seed: int) -> DrawnSplit:
    """Draw a split of a data set."""
    rng = generator("verdict check", name, seed)
    classes = int(labels.max()) + 1
    order = torch.randperm(classes, generator=rng)
    first, last = (
        low * (high / low) ** float(torch.rand(1, generator=rng))
        for low, high in (LARGEST, SMALLEST)
    )
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for place, label in enumerate(order.tolist()):
        rows = (labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=rng)]
        count = round(first * (last / first) ** (place / (classes - 1)))
        count = min(count, len(rows) // 2)
        fresh = min(DRAWINGS, (len(rows) - count) // 2) if count < GENERATED_BELOW else 0
        for part, own in zip(parts, rows.tensor_split([count, count + fresh]), strict=True):
            part.append(own)
    train, fresh, test = (torch.cat(part) for part in parts)
    return DrawnSplit(train, fresh, test, order.argsort())


def draw_images(pool: Pool, split: DrawnSplit, seed: int) -> Drawings:
    """Return the images of the source that a seed chooses."""
    source = SOURCES[seed % len(SOURCES)]
    if source == "fresh":
        labels = split.place[pool.labels[split.fresh]]
        return Drawings(pool.pixels[split.fresh], labels, torch.full((len(labels), 1), -1))
    found = recombined(pool, split, seed)
    rng = generator("verdict check, spoiled", seed)
    if source == "strangers":
        others = torch.randperm(len(found.labels), generator=rng)
        own = torch.arange(len(others)) % 2 == 0
        rows = torch.where(own, torch.arange(len(others)), others)
        return found._replace(pixels=found.pixels[rows], made_from=found.made_from[rows])
    return found._replace(pixels=grain(found.pixels, rng)) if source == "grain" else found


def recombined(pool: Pool, split: DrawnSplit, seed: int) -> Drawings:
    """Return recombined training images of the classes with fewer than 20 of them."""
    pixels, labels = pool.pixels[split.train], split.place[pool.labels[split.train]]
    network = Recombination(len(split.place), 3, pixels.shape[-1])
    order = torch.randperm(len(labels), generator=generator("verdict check, kept", seed))
    network.keep(pixels[order], labels[order], [str(row) for row in order.tolist()])
    rng = generator("verdict check, drawings", seed)
    few = (torch.bincount(labels) < GENERATED_BELOW).nonzero().flatten()
    sources = [
        rows[torch.arange(DRAWINGS) % len(rows)]
        for rows in ((labels == label).nonzero().flatten() for label in few)
    ]
    drawn, made_from = [], []
    for own in sources:
        noise = torch.randn(DRAWINGS, NOISE_DIM, generator=rng)
        given = labels[own], noise, torch.full((DRAWINGS,), NOISE)
        drawn.append(to_u8(network(to_pm1(pixels[own]), *given)))
        within = [[int(file) for file in files] for files in network.files_within(*given)]
        made_from += [
            [*dict.fromkeys([source, *others]), -1, -1][:3]
            for source, others in zip(own.tolist(), within, strict=True)
        ]
    return Drawings(torch.cat(drawn), labels[torch.cat(sources)], torch.tensor(made_from))


def grain(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Return uint8 images at a coarse resolution, with noise."""
    coarse = interpolate(pixels.float() / 255, COARSE, mode="area")
    smooth = interpolate(coarse, tuple(pixels.shape[2:]), mode="bilinear")
    noisy = smooth + GRAIN * torch.randn(smooth.shape, generator=rng)
    return (255 * noisy.clamp(0, 1)).round().to(torch.uint8)
