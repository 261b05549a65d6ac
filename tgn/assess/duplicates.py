"""Exact and near duplicates, within and across training and test images."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.assess.features import AssessedImages
from tgn.metrics.pairwise import distance_blocks

COPY_QUANTILE = 0.95
NEIGHBOUR_SHARE = 0.5


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


def exact_duplicates(images: AssessedImages, digests: Mapping[str, str]) -> list[Pair]:
    """Return pairs of files with equal content: each with the first of its kind.

    Args:
        images: training and test images.
        digests: hash of each file's content.
    """
    rows = _rows(images)
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (file, _, _) in enumerate(rows):
        groups[digests[file]].append(row)
    return [_pair(rows, group[0], other, 0.0) for group in groups.values() for other in group[1:]]


def near_threshold(copy_distances: Tensor, features: Tensor) -> float:
    """Return the distance below which two images count as near duplicates.

    95% of altered copies lie below it; yet at most half of the median distance of a training image
    to its nearest other one, as most different images must not count.

    Args:
        copy_distances: between images and altered copies of them.
        features: of the training images, [N, D].
    """
    nearest = torch.full((len(features),), float("inf"))
    for rows, columns, block in distance_blocks(features, features):
        _mask_upper(block, rows, columns, itself_only=True)
        nearest[rows] = torch.minimum(nearest[rows], block.min(1).values)
    limit = NEIGHBOUR_SHARE * float(nearest[nearest.isfinite()].median())
    return min(float(copy_distances.quantile(COPY_QUANTILE)), limit)


def near_duplicates(
    images: AssessedImages, threshold: float, digests: Mapping[str, str]
) -> list[Pair]:
    """Return pairs of images nearer than the threshold whose files differ, nearest first.

    Features are means over symmetries: turned and mirrored copies count.
    """
    rows = _rows(images)
    features = torch.cat([images.train.features, images.test.features]).double()
    pairs = []
    for first, second, block in distance_blocks(features, features):
        _mask_upper(block, first, second)
        for i, j in (block < threshold).nonzero().tolist():
            pair = _pair(rows, j + second.start, i + first.start, float(block[i, j]))
            if digests[pair.first] != digests[pair.second]:
                pairs.append(pair)
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def _mask_upper(block: Tensor, rows: slice, columns: slice, itself_only: bool = False) -> None:
    """Leave each pair of rows in one order: the column before the row."""
    first = torch.arange(rows.start, rows.stop)[:, None]
    second = torch.arange(columns.start, columns.stop)
    block[(first == second) if itself_only else (first <= second)] = float("inf")


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
