"""Suppression and assignment without tables of all pairs give what the tables gave."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from classify.detection.boxes import rotated, suppression, upright
from classify.detection.boxes.rotated import batched_rotated_nms, paired_iou, rotated_iou
from classify.detection.boxes.upright import overlapping_pairs
from classify.detection.models.assignment import assign_max_iou


def random_boxes(count: int, reach: float, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    centres = torch.rand(count, 2, generator=draw) * reach
    sides = torch.rand(count, 2, generator=draw) ** 3 * 150 + 4  # a few large ones
    return torch.cat((centres, sides, torch.rand(count, 1, generator=draw) * 6), dim=1)


def by_table(boxes, scores, labels, threshold):
    """Suppress one by one by the table of all overlaps."""
    order = scores.argsort(descending=True, stable=True)
    overlap, alive = rotated_iou(boxes, boxes), torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for best in order.tolist():
        if alive[best]:
            kept.append(best)
            alive &= (overlap[best] <= threshold) | (labels != labels[best])
    return kept


@pytest.mark.parametrize("reach", [60.0, 600.0])
@pytest.mark.parametrize("seed", range(3))
def test_suppression_keeps_the_boxes_of_the_table(monkeypatch, reach, seed):
    monkeypatch.setattr(suppression, "BLOCK", 64)
    monkeypatch.setattr(upright, "SMALL_TABLE", 256)
    monkeypatch.setattr(upright, "PAIRS_PER_CHUNK", 1000)
    boxes = random_boxes(400, reach, seed)
    boxes[100:120] = boxes[:20]  # equal boxes
    draw = torch.Generator().manual_seed(seed)
    scores = torch.rand(400, generator=draw).mul(20).round().div(20)  # many ties
    labels = torch.randint(3, (400,), generator=draw)
    found = batched_rotated_nms(boxes, scores, labels, 0.1)
    assert found.tolist() == by_table(boxes, scores, labels, 0.1)
    assert 3 <= len(found) < 400


def test_only_boxes_that_may_suppress_each_other_are_compared(monkeypatch):
    compared = []

    def counted(first, second):
        compared.append(len(first))
        return paired_iou(first, second)

    monkeypatch.setattr(rotated, "paired_iou", counted)
    boxes = random_boxes(3000, 4000.0, 0)
    batched_rotated_nms(boxes, torch.rand(3000), torch.zeros(3000, dtype=torch.int64), 0.1)
    assert sum(compared) < 10 * len(boxes)  # a table has 3,000 x 3,000


def test_neighbours_are_the_boxes_that_touch(monkeypatch):
    monkeypatch.setattr(upright, "SMALL_TABLE", 0)
    first, second = (rotated.to_upright(random_boxes(n, 500.0, n)) for n in (300, 200))
    second[7] = torch.tensor([-1e4, -1e4, 1e4, 1e4])  # over all of them
    second[8] = float("nan")
    first[9] = float("inf")
    expected = (first[:, None, :2] <= second[:, 2:]) & (first[:, None, 2:] >= second[:, :2])
    expected = expected.all(dim=2) & first.isfinite().all(dim=1)[:, None]
    for chunk in (1 << 18, 100):
        monkeypatch.setattr(upright, "PAIRS_PER_CHUNK", chunk)
        found = torch.zeros(300, 200, dtype=torch.int64)
        for i, j in overlapping_pairs(first, second):
            found.index_put_((i, j), torch.tensor(1), accumulate=True)
        assert torch.equal(found, expected.long())
    assert list(overlapping_pairs(first, second[8:9])) == []


def test_assignment_by_neighbours_is_torchvisions_matcher(monkeypatch):
    monkeypatch.setattr(upright, "SMALL_TABLE", 0)
    anchors, boxes = (rotated.to_upright(random_boxes(n, 300.0, n)) for n in (2000, 60))
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    assert torch.equal(assign_max_iou(anchors, boxes), matcher(box_iou(boxes, anchors)))
