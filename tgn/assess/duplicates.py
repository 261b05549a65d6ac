"""Exact and near duplicates, within and across training and test images."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.assess.features import AssessedImages
from tgn.metrics.neighbours import neighbour_radii
from tgn.metrics.pairwise import distance_blocks

COPY_QUANTILE = 0.95
LOCAL_SHARE = 0.5
CROWD = 5
ACROSS = ("train", "test")  # training images come first in a pair


class Pair(NamedTuple):
    """Two images that are one, or nearly.

    Attributes:
        first: file.
        second: file.
        first_part: train or test.
        second_part: train or test.
        same_label: whether both are of one class.
        distance: of their features; 0 for equal files.
    """

    first: str
    second: str
    first_part: str
    second_part: str
    same_label: bool
    distance: float


def exact_duplicates(images: AssessedImages) -> list[Pair]:
    """Return pairs of files with equal content: each with the first of its kind."""
    rows = _rows(images)
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (file, _, _) in enumerate(rows):
        groups[images.digests[file]].append(row)
    return [_pair(rows, group[0], other, 0.0) for group in groups.values() for other in group[1:]]


def near_threshold(copy_distances: Tensor) -> float:
    """Return the distance below which two images may be near duplicates: 95% of copies have it.

    Args:
        copy_distances: between images and altered copies of them.
    """
    return float(copy_distances.quantile(COPY_QUANTILE))


def near_duplicates(images: AssessedImages, threshold: float) -> list[Pair]:
    """Return pairs of images that are nearly one and whose files differ, nearest first.

    They are nearer than the threshold, and at most half as far from one another as either is from
    its fifth nearest image: forests look alike, and most are not copies. Groups of up to five
    copies are found. Features are means over symmetries: turned and mirrored copies count.
    """
    rows = _rows(images)
    features = torch.cat([images.train.features, images.test.features]).double()
    radii = neighbour_radii(features, min(CROWD, len(features) - 1))
    pairs = []
    for first, second, block in distance_blocks(features, features):
        usual = torch.minimum(radii[first][:, None], radii[second])
        near = (block < threshold) & (block < LOCAL_SHARE * usual)
        order = torch.arange(first.start, first.stop)[:, None] > torch.arange(
            second.start, second.stop
        )
        for i, j in (near & order).nonzero().tolist():
            pair = _pair(rows, j + second.start, i + first.start, float(block[i, j]))
            if images.digests[pair.first] != images.digests[pair.second]:
                pairs.append(pair)
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def known_test_images(pairs: Iterable[Pair]) -> set[str]:
    """Return the test images that are copies of training images, or nearly."""
    return {pair.second for pair in pairs if (pair.first_part, pair.second_part) == ACROSS}


def _rows(images: AssessedImages) -> list[tuple[str, str, int]]:
    return [
        (file, part, label)
        for part, table in (("train", images.train), ("test", images.test))
        for file, label in zip(table.files, table.labels.tolist(), strict=True)
    ]


def _pair(rows: Sequence[tuple[str, str, int]], one: int, two: int, distance: float) -> Pair:
    (first, first_part, first_label), (second, second_part, second_label) = rows[one], rows[two]
    same = first_label == second_label
    return Pair(first, second, first_part, second_part, same, distance)
