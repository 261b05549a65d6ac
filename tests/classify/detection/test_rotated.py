"""Rotated boxes against shapely, and against themselves under other names."""

import math

import pytest
import torch
from shapely.geometry import Polygon

from classify.detection.boxes.gaussian_losses import (
    bounded_gwd_loss,
    gwd_loss,
    halved_kld_loss,
    kld_loss,
)
from classify.detection.boxes.rotated import (
    batched_rotated_nms,
    paired_iou,
    rotated_iou,
    rotated_nms,
    to_corners,
    to_long_edge,
    to_opencv,
    to_upright,
)


def boxes(count: int, seed: int, reach: float = 60) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=draw, dtype=torch.float64) * reach
    sides = torch.rand(count, 2, generator=draw, dtype=torch.float64) * 40 + 0.5
    angle = (torch.rand(count, 1, generator=draw, dtype=torch.float64) - 0.5) * 8
    return torch.cat((centre, sides, angle), dim=1)


def changed(first: torch.Tensor, how: str) -> torch.Tensor:
    second, axis = first.clone(), torch.stack((first[:, 4].cos(), first[:, 4].sin()), dim=1)
    if how == "touching":
        second[:, :2] += axis * first[:, 2:3]
    elif how == "nested":
        second[:, 2:4] *= 0.5
    elif how == "turned by a right angle":
        second[:, 4] += math.pi / 2
    elif how == "moved by a hair":
        second[:, :2] += 1e-7
    elif how == "near-degenerate":
        second[:, 2] = 1e-5
    elif how == "far away":
        second[:, :2] += 1e5
    elif how == "any":
        second = boxes(len(first), 99)
    return second


HOW = ["any", "equal", "touching", "nested", "turned by a right angle", "moved by a hair",
       "near-degenerate", "far away"]  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_overlap_is_that_of_shapely(how):
    first = boxes(1250, HOW.index(how))  # ten thousand pairs in all
    second = changed(first, how)
    expected = []
    for a, b in zip(to_corners(first).tolist(), to_corners(second).tolist(), strict=True):
        p, q = Polygon(a), Polygon(b)
        expected.append(p.intersection(q).area / p.union(q).area)
    torch.testing.assert_close(
        paired_iou(first, second), torch.tensor(expected).double(), rtol=0, atol=1e-4
    )


def test_all_pairs_are_the_pairs_one_by_one():
    first, second = boxes(20, 0, reach=200), boxes(30, 1, reach=200)
    table = rotated_iou(first.float(), second.float())
    assert (table.shape, table.dtype) == ((20, 30), torch.float32)
    i, j = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    expected = paired_iou(first[i.flatten()], second[j.flatten()]).view(20, 30)
    torch.testing.assert_close(table.double(), expected, rtol=0, atol=1e-5)
    assert (expected > 0).any()
    assert rotated_iou(first[:0], second).shape == (0, 30)


def test_a_box_without_area_overlaps_nothing():
    flat = torch.tensor([[5.0, 5.0, 0.0, 10.0, 0.3]])
    assert rotated_iou(flat, flat).item() == 0


@pytest.mark.parametrize(("rename", "lowest", "highest"), [
    (to_long_edge, -math.pi / 2, math.pi / 2), (to_opencv, 0, math.pi / 2),
])  # fmt: skip
def test_conventions_name_the_same_rectangles(rename, lowest, highest):
    given = boxes(2000, 3)
    given[:8, 4] = torch.arange(-4, 4) * math.pi / 2  # the edges of the ranges
    renamed = rename(given)
    torch.testing.assert_close(paired_iou(renamed, given), torch.ones(2000).double())
    assert (renamed[:, 4] >= lowest - 1e-12).all()
    assert (renamed[:, 4] <= highest + 1e-12).all()
    if rename is to_long_edge:
        assert (renamed[:, 2] >= renamed[:, 3]).all()
    torch.testing.assert_close(to_long_edge(to_opencv(given)), to_long_edge(to_long_edge(given)))


def test_upright_box_of_a_known_one():
    found = to_upright(torch.tensor([[10.0, 20.0, 4.0, 2.0, math.pi / 2]]))
    torch.testing.assert_close(found, torch.tensor([[9.0, 18.0, 11.0, 22.0]]))


def test_suppression_keeps_the_best_of_each_heap():
    heap = torch.tensor([[50.0, 50.0, 40.0, 8.0, 0.5]]).repeat(4, 1)
    heap[1, :2] += 1  # nearly the first
    heap[2, 4] += math.pi / 2  # a cross: little overlap
    heap[3, 4] += math.pi  # the first, under another name
    scores = torch.tensor([0.6, 0.9, 0.5, 0.7])
    assert rotated_nms(heap, scores, 0.3).tolist() == [1, 2]
    apart = batched_rotated_nms(heap, scores, torch.tensor([0, 1, 0, 0]), 0.3)
    assert apart.tolist() == [1, 3, 2]
    assert batched_rotated_nms(heap[:0], scores[:0], scores[:0].long(), 0.3).tolist() == []


@pytest.mark.parametrize("loss", [gwd_loss, bounded_gwd_loss, kld_loss, halved_kld_loss])
def test_gaussian_losses(loss):
    predicted, target = boxes(6, 5).requires_grad_(True), boxes(6, 6)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), predicted)
    same = target.clone()
    same[:, 4] += math.pi
    assert loss(same, target).max() < 0.02
    renamed = torch.stack(
        (target[:, 0], target[:, 1], target[:, 3], target[:, 2], target[:, 4] + math.pi / 2), dim=1
    )
    torch.testing.assert_close(loss(predicted, renamed), loss(predicted, target))  # no jump
    scale = torch.tensor([3.0, 3.0, 3.0, 3.0, 1.0]).double()
    torch.testing.assert_close(loss(predicted * scale, target * scale), loss(predicted, target))
    nearer = torch.lerp(predicted, target, 0.9)
    assert (loss(nearer, target) <= loss(predicted, target) + 1e-6).all()
