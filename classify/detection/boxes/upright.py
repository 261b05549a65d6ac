"""Upright boxes: the pairs that overlap, found without a table of all pairs, and their overlap."""

from collections.abc import Iterator

import torch
from torch import Tensor

PAIRS_PER_CHUNK = 1 << 18  # examined at a time: some 30 MiB
SMALL_TABLE = 1 << 18  # so many pairs are compared at once
_SLACK = 1.001  # of a cell's side, for rounding
_NO_COLUMN = 1 << 62


def overlapping_pairs(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pairs of boxes that have a point in common, a bounded number at a time.

    Boxes of like size lie in the cells of a grid, so that a box is compared with its neighbours
    only. Boxes that are not finite overlap nothing.

    Args:
        first: [N, 4].
        second: [M, 4].

    Yields:
        Indices into ``first`` and into ``second``, [P] each; every pair once, in no order.
    """
    if len(first) * len(second) <= SMALL_TABLE:
        both = _touching(first[:, None], second).nonzero()
        yield both[:, 0], both[:, 1]
        return
    whole = torch.isfinite(second).all(dim=1).nonzero().flatten()
    if len(whole) == 0:
        return
    # Cells that are much smaller than the boxes that ask for them would be many.
    usual = _sides(second[whole]).median().clamp(min=1.0)
    octaves = torch.maximum(_sides(first), usual).log2().ceil()
    for octave in octaves[torch.isfinite(first).all(dim=1)].unique().tolist():
        rows = (octaves == octave).nonzero().flatten()
        for i, j in _near_pairs(first[rows], second[whole]):
            yield rows[i], whole[j]


def _sides(boxes: Tensor) -> Tensor:
    """Return the longer side of each box, [N]."""
    return (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)


def _near_pairs(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pairs that touch; every box of ``first`` has the cell that its centre lies in.

    The cells that a box of ``second`` may reach are strips of a grid's rows. Cells are numbered
    row by row: a strip is a range in the order of their numbers.
    """
    centres = (first[:, :2] + first[:, 2:]) / 2
    origin, reach = centres.amin(dim=0), _SLACK * _sides(first).amax() / 2
    cell = torch.maximum(reach, _sides(second).median() / 2).clamp(min=0.5)
    places = ((centres - origin) / cell).floor().long()  # [N, 2]: column, row
    width, height = (places.amax(dim=0) + 1).tolist()
    keys, order = (places[:, 1] * width + places[:, 0]).sort()
    last = second.new_tensor([width - 1, height - 1])
    lower = ((second[:, :2] - reach - origin) / cell).floor().clamp(min=0)
    upper = torch.minimum(((second[:, 2:] + reach - origin) / cell).floor(), last)
    strips = (upper[:, 1] - lower[:, 1] + 1).clamp(min=0).long()
    strips[upper[:, 0] < lower[:, 0]] = 0
    owner, offset = _repeated(strips)
    start = (lower[owner, 1].long() + offset) * width
    begin = torch.searchsorted(keys, start + lower[owner, 0].long())
    end = torch.searchsorted(keys, start + upper[owner, 0].long(), right=True)
    lengths = end - begin
    by_cell = first[order]  # neighbours in memory too
    for part in _chunks(lengths):
        strip, step = _repeated(lengths[part])
        i, j = begin[part].index_select(0, strip) + step, owner[part].index_select(0, strip)
        touching = _touching(by_cell.index_select(0, i), second.index_select(0, j))
        yield order[i[touching]], j[touching]


def _touching(first: Tensor, second: Tensor) -> Tensor:
    """Return whether boxes [..., 4] have a point in common; shapes are broadcast."""
    a, b = first.unbind(-1), second.unbind(-1)
    return (a[0] <= b[2]) & (a[2] >= b[0]) & (a[1] <= b[3]) & (a[3] >= b[1])


def _repeated(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return 0, ..., n - 1, number k ``counts[k]`` times, and the how manieth each one is."""
    owner = torch.repeat_interleave(counts)
    before = counts.cumsum(0) - counts
    return owner, torch.arange(len(owner), device=counts.device) - before[owner]


def _chunks(lengths: Tensor) -> Iterator[slice]:
    """Yield slices of ranges, each of about PAIRS_PER_CHUNK members or of one range."""
    ends = lengths.cumsum(0)
    total, start = int(ends[-1]) if len(ends) else 0, 0
    while start < len(lengths):
        done = int(ends[start - 1]) if start else 0
        if done == total:
            return
        limit = torch.tensor(done + PAIRS_PER_CHUNK, device=ends.device)
        stop = max(int(torch.searchsorted(ends, limit, right=True)), start + 1)
        yield slice(start, stop)
        start = stop


def paired_box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of upright box k with box k: [..., 4] and [..., 4] -> [...]."""
    intersection = paired_intersection(first, second)
    areas = [
        (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
        for left, top, right, bottom in (first.unbind(-1), second.unbind(-1))
    ]
    return intersection / (areas[0] + areas[1] - intersection).clamp(min=1e-9)


def paired_intersection(first: Tensor, second: Tensor) -> Tensor:
    """Return the area that box k has in common with box k: [..., 4] and [..., 4] -> [...]."""
    a, b = first.unbind(-1), second.unbind(-1)
    width = torch.minimum(a[2], b[2]) - torch.maximum(a[0], b[0])
    height = torch.minimum(a[3], b[3]) - torch.maximum(a[1], b[1])
    return width.clamp(min=0) * height.clamp(min=0)


def overlaps_of(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of boxes with an area in common, and their IoU.

    Args:
        first: [N, 4].
        second: [M, 4].

    Returns:
        Indices into ``first`` and into ``second``, and the IoU > 0: [P] each.
    """
    found = []
    for i, j in overlapping_pairs(first, second):
        iou = paired_box_iou(first[i], second[j])
        found.append((i[iou > 0], j[iou > 0], iou[iou > 0]))
    none = torch.zeros(0, dtype=torch.int64, device=first.device)
    i, j, iou = (
        torch.cat(part) for part in zip((none, none, first.new_zeros(0)), *found, strict=True)
    )
    return i, j, iou


def largest(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """Return the largest value [count] of each owner; -1 where there is none.

    Args:
        values: [P], >= 0.
        owners: of each value, [P], in [0, count).
        count: number of owners.
    """
    return values.new_full((count,), -1.0).scatter_reduce(0, owners, values, "amax")


def lowest_index(indices: Tensor, owners: Tensor, count: int) -> Tensor:
    """Return the lowest index [count] of each owner, a huge number where there is none."""
    nothing = indices.new_full((count,), _NO_COLUMN)
    return nothing.scatter_reduce(0, owners, indices, "amin")
