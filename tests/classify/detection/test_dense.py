"""Dense detectors: boxes as distributions, assignment of anchors, detections."""

import math

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from classify.detection.boxes.coders import (
    EdgeCoder,
    RotatedCoder,
    distribution_focal_loss,
    expected_value,
)
from classify.detection.boxes.rotated import paired_iou
from classify.detection.boxes.upright import paired_box_iou
from classify.detection.models.assignment import (
    adaptive_threshold,
    assign_atss,
    assign_max_iou,
    nearest_anchors,
)
from classify.detection.models.build import DetectorSpec, build_detector, set_precision
from classify.detection.models.dense_losses import quality_focal_loss

LEVELS = (64, 16, 4)


def grid_anchors() -> torch.Tensor:
    """Squares of 8 strides round the places of three levels of a 64 pixel image."""
    parts = []
    for count, stride in zip(LEVELS, (8, 16, 32), strict=True):
        side = math.isqrt(count)
        places = torch.arange(side) * stride + stride / 2
        y, x = torch.meshgrid(places, places, indexing="ij")
        centre = torch.stack((x.flatten(), y.flatten()), dim=1)
        parts.append(torch.cat((centre - 4 * stride, centre + 4 * stride), dim=1))
    return torch.cat(parts)


def dense(detector: str, width: int = 32) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_detector(DetectorSpec(detector, "resnet18", ("a", "b"), 96, fpn_channels=width))


@pytest.mark.parametrize("detector", ["gfl", "retinanet"])
def test_a_level_of_stride_four_has_smaller_anchors(detector):
    spec = DetectorSpec(detector, "resnet18", ("a",), 96, fpn_channels=32, finest_stride=4)
    net = build_detector(spec)
    place = net.anchors if detector == "gfl" else net.anchor_generator
    octaves = (8.0,) if detector == "gfl" else tuple(4 * 2 ** (k / 3) for k in range(3))
    for sides, stride in zip(place.sizes, (4, 8, 16, 32, 64, 128), strict=True):
        assert sides == pytest.approx([stride * octave for octave in octaves])
    assert DetectorSpec.from_record(spec.to_record()) == spec
    net.eval()([torch.rand(3, 64, 64)])


def test_a_factor_of_each_level_scales_its_box_logits_only():
    spec = DetectorSpec("gfl", "resnet18", ("a",), 96, fpn_channels=32, level_scales=True)
    assert DetectorSpec.from_record(spec.to_record()) == spec
    head = build_detector(spec).head
    maps = [torch.rand(1, 32, side, side) for side in (8, 4, 2, 1, 1)]
    with torch.no_grad():
        classes, boxes = head(maps)
        for k, factor in enumerate(head.scales):
            factor.fill_(k)
        same_classes, scaled = head(maps)
    assert torch.equal(classes, same_classes)
    levels = torch.arange(5).repeat_interleave(torch.tensor([64, 16, 4, 1, 1]))
    torch.testing.assert_close(scaled, boxes * levels[None, :, None, None])


def test_edges_are_coded_and_decoded():
    coder, anchors = EdgeCoder(), grid_anchors()[:64]
    boxes = torch.cat((anchors[:, :2] - 5, anchors[:, 2:] + 3), dim=1)
    values = coder.encode(boxes, anchors)
    torch.testing.assert_close(coder.decode(values, anchors), boxes)
    torch.testing.assert_close(values[0], torch.tensor([37, 37, 35, 35]) / 8)
    assert coder.encode(boxes * 100, anchors).max() <= 16


def test_rotated_boxes_are_coded_and_decoded():
    coder, anchors = RotatedCoder(), grid_anchors()[:16]
    draw = torch.Generator().manual_seed(0)
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + 9
    sides = 20 + 60 * torch.rand(16, 2, generator=draw)
    boxes = torch.cat((centre, sides, 6 * torch.rand(16, 1, generator=draw)), dim=1)
    found = coder.decode(coder.encode(boxes, anchors), anchors)
    torch.testing.assert_close(paired_iou(found, boxes).float(), torch.ones(16))


@pytest.mark.parametrize("coder", [EdgeCoder(), RotatedCoder()])
def test_a_sure_distribution_means_its_bin(coder):
    count = len(coder.bins)
    sure = 100 * torch.eye(count)
    torch.testing.assert_close(expected_value(sure, coder.bins), coder.bins)


def test_distribution_focal_loss_is_that_of_the_two_bins_beside_a_value():
    logits = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([2.25], dtype=torch.float64)
    log_p = logits.log_softmax(1)[0]
    found = distribution_focal_loss(logits, target)
    torch.testing.assert_close(found[0], -0.75 * log_p[2] - 0.25 * log_p[3])
    last = distribution_focal_loss(logits, torch.tensor([4.0], dtype=torch.float64))
    torch.testing.assert_close(last[0], -log_p[4])
    assert torch.autograd.gradcheck(lambda x: distribution_focal_loss(x, target), logits)
    best = torch.tensor([[0.0, 0.0, 0.75, 0.25, 0.0]]).clamp(min=1e-9).log()
    assert distribution_focal_loss(best, target.float()) < found


def test_quality_focal_loss():
    logits = torch.tensor([[0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    quality = torch.tensor([[0.8, 0.0]], dtype=torch.float64)
    found = quality_focal_loss(logits, quality)
    entropy = -(0.8 * math.log(0.5) + 0.2 * math.log(0.5))
    torch.testing.assert_close(found[0, 0].item(), 0.3**2 * entropy)
    assert torch.autograd.gradcheck(lambda x: quality_focal_loss(x, quality), logits)
    right = torch.logit(torch.tensor([[0.8]]))
    assert quality_focal_loss(right, torch.tensor([[0.8]])).item() == pytest.approx(0, abs=1e-9)


def test_atss_takes_anchors_in_the_object_that_overlap_more_than_its_threshold():
    anchors = grid_anchors()
    boxes = torch.tensor([[4.0, 4.0, 40.0, 44.0], [30.0, 30.0, 62.0, 60.0]])
    assigned = assign_atss(anchors, LEVELS, boxes)
    overlap = box_iou(anchors, boxes)
    near = nearest_anchors(anchors, LEVELS, (boxes[:, :2] + boxes[:, 2:]) / 2)
    assert near.shape == (9 + 9 + 4, 2)
    threshold = adaptive_threshold(overlap.gather(0, near))
    middles = (anchors[:, :2] + anchors[:, 2:]) / 2
    for number in range(len(anchors)):
        own = [
            k
            for k in range(2)
            if number in near[:, k]
            and overlap[number, k] >= threshold[k]
            and (middles[number] > boxes[k, :2]).all()
            and (middles[number] < boxes[k, 2:]).all()
        ]
        best = max(own, key=lambda k: overlap[number, k], default=-1)
        assert assigned[number] == best
    assert set(assigned.tolist()) == {-1, 0, 1}
    assert (assign_atss(anchors, LEVELS, boxes[:0]) == -1).all()


def test_by_overlap_is_torchvisions_matcher():
    anchors = grid_anchors()
    draw = torch.Generator().manual_seed(1)
    corner = 40 * torch.rand(12, 2, generator=draw)
    boxes = torch.cat((corner, corner + 5 + 60 * torch.rand(12, 2, generator=draw)), dim=1)
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    assert torch.equal(assign_max_iou(anchors, boxes), matcher(box_iou(boxes, anchors)))
    assert (assign_max_iou(anchors, boxes[:0]) == -1).all()


def test_paired_overlap_is_the_diagonal():
    boxes = grid_anchors()[:20]
    other = boxes.roll(1, 0) + 3
    torch.testing.assert_close(paired_box_iou(boxes, other), box_iou(boxes, other).diagonal())
    assert paired_box_iou(boxes[:0], other[:0]).shape == (0,)


@pytest.mark.parametrize("detector", ["gfl", "rotated-retinanet"])
def test_losses_are_finite_and_reach_every_layer(detector):
    net, size = dense(detector), 4 if detector == "gfl" else 5
    images = [torch.rand(3, 60, 97), torch.rand(3, 80, 64)]  # of any shapes
    box = [10.0, 12.0, 40.0, 44.0] if size == 4 else [30.0, 30.0, 40.0, 12.0, 0.7]
    targets = [
        {"boxes": torch.tensor([box]), "labels": torch.tensor([1])},
        {"boxes": torch.zeros(0, size), "labels": torch.zeros(0, dtype=torch.int64)},  # nothing
    ]
    losses = net.train()(images, targets)
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    without = [
        name for name, p in net.named_parameters()
        if p.grad is None and not name.startswith(("backbone.body.fc", "backbone.body.conv1"))
    ]  # fmt: skip
    assert without == []


@pytest.mark.parametrize(
    ("detector", "per_location", "size", "bins"),
    [("gfl", 1, 4, 17), ("rotated-retinanet", 9, 5, 9)],
)
def test_every_anchor_has_predictions(detector, per_location, size, bins):
    predictions = dense(detector).predict([torch.rand(3, 90, 96)])
    assert predictions.class_logits.shape == (1, len(predictions.anchors), 2)
    assert predictions.box_logits.shape == (1, len(predictions.anchors), size, bins)
    assert sum(predictions.levels) == len(predictions.anchors)
    assert (
        predictions.levels[0]
        == predictions.maps[0].shape[2] * predictions.maps[0].shape[3] * per_location
    )


def test_detections_are_in_pixels_of_the_image():
    net = dense("gfl")
    image = torch.rand(3, 180, 192)  # twice the network's input
    predictions = net.predict([image])
    row = int((predictions.anchors[:, :2] - torch.tensor([8.0, 8.0])).abs().sum(1).argmin())
    scores = torch.full_like(predictions.class_logits, -20.0)
    scores[0, row, 1] = 4.0
    shapes = torch.zeros_like(predictions.box_logits)
    shapes[0, row, :, 2] = 100.0  # two strides to every side
    made = predictions._replace(class_logits=scores, box_logits=shapes)
    (found,) = net.detections(made, [image])
    stride = (predictions.anchors[row, 2] - predictions.anchors[row, 0]) / 8
    centre = (predictions.anchors[row, :2] + predictions.anchors[row, 2:]) / 2
    expected_boxes = torch.cat((centre - 2 * stride, centre + 2 * stride)) * 2
    torch.testing.assert_close(found["boxes"], expected_boxes[None])
    assert found["labels"].tolist() == [1]
    torch.testing.assert_close(found["scores"], torch.sigmoid(torch.tensor([4.0])))


@pytest.mark.parametrize("detector", ["gfl", "faster-rcnn", "retinanet", "rotated-retinanet"])
def test_in_bf16_boxes_and_losses_stay_float32(detector):
    net = dense(detector)
    set_precision(net, lambda: torch.autocast("cpu", torch.bfloat16))
    size = 5 if detector == "rotated-retinanet" else 4
    box = [20.0, 20.0, 60.0, 70.0, 0.3][:size]
    target = {"boxes": torch.tensor([box]), "labels": torch.tensor([1])}
    losses = net.train()([torch.rand(3, 96, 96)], [target])
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    torch.stack(list(losses.values())).sum().backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)  # the smallest map is 1 x 1
    (found,) = net.eval()([torch.rand(3, 96, 96)])
    assert found["boxes"].dtype == torch.float32


def test_the_softmax_of_bins_has_a_gradient_everywhere():
    logits = torch.zeros(1, 4, 17, dtype=torch.float64, requires_grad=True)
    anchors = grid_anchors()[:1].double()
    coder = EdgeCoder().double()
    assert torch.autograd.gradcheck(
        lambda x: coder.decode(expected_value(x, coder.bins), anchors), logits
    )
