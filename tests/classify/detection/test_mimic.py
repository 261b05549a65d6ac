"""Feature mimicking of detectors."""

import copy

import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

from classify.detection.distill.base import DistillationPair
from classify.detection.distill.mimic import build_mimicking, patches_3x3
from classify.detection.models.build import DetectorSpec, build_detector, detect
from classify.detection.settings.detector import MimicSettings

SETTINGS = MimicSettings(num_hashes=64, warmup=0)
IMAGES = [torch.rand(3, 96, 80, generator=torch.Generator().manual_seed(k)) for k in range(2)]


def pair_of(detector: str, same: bool = False) -> DistillationPair:
    """Student and teacher; batch normalisation is fixed, so equal weights give equal outputs."""
    torch.manual_seed(0)
    spec = DetectorSpec(detector, "resnet18", ("a", "b"), 96, True, 32)
    student = build_detector(spec)
    teacher = copy.deepcopy(student) if same else build_detector(spec)
    return DistillationPair(student, teacher.eval().requires_grad_(False), seed=0)


def targets_of(*counts: int) -> list[dict[str, torch.Tensor]]:
    box = torch.tensor([[10.0, 10.0, 50.0, 60.0]])
    return [{"boxes": box.repeat(n, 1), "labels": torch.ones(n, dtype=torch.int64)} for n in counts]


def test_patches_are_what_a_convolution_reads():
    convolution = nn.Conv2d(4, 6, 3, padding=1)
    maps, here = torch.rand(2, 4, 5, 7), torch.rand(2, 5, 7) < 0.4
    here[0, 0, 0] = here[1, 4, 6] = True  # corners
    read = patches_3x3(maps, here) @ convolution.weight.flatten(1).T + convolution.bias
    torch.testing.assert_close(read, convolution(maps).permute(0, 2, 3, 1)[here])


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
@pytest.mark.parametrize("kind", ["l2", "lsh", "lshl2"])
def test_terms_reach_the_student_and_nothing_else(detector, kind):
    pair = pair_of(detector)
    before = copy.deepcopy(pair.teacher.state_dict())
    task = build_mimicking(pair, kind, SETTINGS).train()
    losses = task(IMAGES, targets_of(1, 2), 0.5)
    expected = {"l2": {"l2"}, "lsh": {"lsh"}, "lshl2": {"l2", "lsh"}}
    assert {"l2", "lsh"} & set(losses) == expected[kind]
    terms = torch.stack([losses[name] for name in ("l2", "lsh") if name in losses])
    assert (terms > 0).all()
    terms.sum().backward()
    assert pair.student.backbone.body.layer4[0].conv1.weight.grad.abs().sum() > 0
    assert not pair.teacher.training
    assert all(p.grad is None for p in pair.teacher.parameters())
    for name, value in pair.teacher.state_dict().items():
        assert torch.equal(value, before[name])
    ours = {id(p) for p in task.parameters()}
    assert not ours & {id(p) for p in pair.teacher.parameters()}
    assert set(task.state_dict()) == {f"student.{k}" for k in pair.student.state_dict()}


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_equal_detectors_have_equal_features(detector):
    losses = build_mimicking(pair_of(detector, same=True), "lshl2", SETTINGS)(
        IMAGES, targets_of(1, 1), 1
    )
    assert losses["l2"].item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_the_layers_that_read_the_features_can_be_inherited(detector):
    pair = pair_of(detector)
    before = copy.deepcopy(pair.student.state_dict())
    task = build_mimicking(pair, "l2", MimicSettings(num_hashes=8, inherit_head=True))
    layers = {"faster-rcnn": "box_predictor.", "retinanet": "classification_head.cls_logits."}
    taught = pair.teacher.state_dict()
    for name, value in task.student.state_dict().items():
        assert torch.equal(value, (taught if layers[detector] in name else before)[name]), name
    assert any(
        not torch.equal(before[name], taught[name]) for name in before if layers[detector] in name
    )
    task(IMAGES, targets_of(1, 1), 1)["l2"].backward()  # copied, not shared
    assert all(p.grad is None for p in pair.teacher.parameters())


def test_retinanet_mimics_where_objects_are_or_as_published_nearly_everywhere():
    pair, found = pair_of("retinanet"), {}
    for locations in ("positives", "published"):
        task = build_mimicking(pair, "l2", MimicSettings(locations=locations, num_hashes=8))
        task(IMAGES, targets_of(1, 0), 1)
        maps = pair.teacher.backbone(task.prepared.outputs[0][0].tensors)
        own, taught, share = task.features(maps)
        assert own.shape == taught.shape == (len(share), 9 * 32)
        torch.testing.assert_close(share.sum().item(), 1.0)  # the empty image has no part
        found[locations] = len(share)
        of_locations = sum(x.shape[2] * x.shape[3] for x in maps.values())
        matched = pair.student.proposal_matcher  # what torchvision trains on
        target = task.prepared.outputs[0][1][0]
        anchors = task.anchors.outputs[0][0]
        index = matched(box_iou(target["boxes"], anchors)).view(-1, 9)
        mimicked = (index >= 0).any(1) if locations == "positives" else (index > -2).any(1)
        assert found[locations] == mimicked.sum()
    assert 0 < found["positives"] < 0.1 * of_locations
    assert found["published"] > 0.8 * of_locations


@pytest.mark.parametrize("kind", ["l2", "lsh", "lshl2"])
def test_a_batch_without_objects_mimics_nothing(kind):
    losses = build_mimicking(pair_of("retinanet"), kind, SETTINGS)(IMAGES, targets_of(0, 0), 0.5)
    assert all(loss.isfinite() for loss in losses.values())
    assert sum(losses[name].item() for name in ("l2", "lsh") if name in losses) == 0
    torch.stack(list(losses.values())).sum().backward()


def test_images_with_objects_share_the_mimicking_on_whichever_process():
    pair, targets = pair_of("retinanet"), [*targets_of(1, 0), *targets_of(2, 1)]
    images = [*IMAGES, *IMAGES[::-1]]
    together = build_mimicking(pair, "l2", SETTINGS)(images, targets, 1)["l2"].item()
    alike = pair._replace(average=lambda count: torch.full_like(count, 1.5))  # 3 on 2 processes
    apart = build_mimicking(alike, "l2", SETTINGS)
    halves = [apart(images[k : k + 2], targets[k : k + 2], 1)["l2"].item() for k in (0, 2)]
    assert sum(halves) / 2 == pytest.approx(together, rel=1e-4)


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_activations_in_eval_mode_are_not_recorded(detector):
    task = build_mimicking(pair_of(detector), "l2", SETTINGS).train()
    detect(task.student.eval(), IMAGES)
    assert not any(one.outputs or one.inputs for one in task.recorders)


def test_hashes_alone_ignore_the_norm_of_features():
    bounded = SETTINGS.model_copy(update={"lsh_length": "teacher"})
    task = build_mimicking(pair_of("retinanet"), "lsh", bounded)
    own, taught = torch.randn(8, 288), torch.randn(8, 288)
    torch.testing.assert_close(task._lsh(1e4 * own, taught), task._lsh(own, taught))


def test_the_weight_rises():
    task = build_mimicking(pair_of("retinanet"), "l2", MimicSettings(warmup=0.5))
    at = [task(IMAGES, targets_of(1, 1), p)["l2"].item() for p in (0.0, 0.25, 0.5)]
    assert at[0] == 0
    assert at[1] == pytest.approx(at[2] / 2, rel=1e-3)
