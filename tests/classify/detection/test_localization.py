"""Localization distillation: divergences, regions, terms, imitation."""

import copy
import math

import pytest
import torch
from torchvision.ops import box_iou

from classify.detection.boxes.rotated import rotated_iou
from classify.detection.distill.base import DistillationPair
from classify.detection.distill.divergences import (
    periodic_angle_kl,
    softened_binary_kl,
    softened_kl,
)
from classify.detection.distill.imitation import imitation_loss
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.regions import rotated_region, valuable_region
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.models.dense_losses import ImageTargets
from classify.detection.settings.detector import DetectSettings, ImitationSettings
from tgn.runtime.errors import UserError

IMAGES = [torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(k)) for k in range(2)]
UPRIGHT, ROTATED = [12.0, 20.0, 60.0, 50.0], [48.0, 50.0, 60.0, 10.0, 0.8]
DENSE = ["gfl", "rotated-retinanet"]


def pair_of(detector: str, same: bool = False, width: int = 32) -> DistillationPair:
    torch.manual_seed(0)
    spec = DetectorSpec(detector, "resnet18", ("a", "b"), 96, True, width)
    student = build_detector(spec)
    teacher = copy.deepcopy(student) if same else build_detector(spec)
    return DistillationPair(student, teacher.eval().requires_grad_(False), seed=0)


def targets_of(detector: str, *counts: int) -> list[dict[str, torch.Tensor]]:
    box = torch.tensor([UPRIGHT if detector == "gfl" else ROTATED])
    return [{"boxes": box.repeat(n, 1), "labels": torch.ones(n, dtype=torch.int64)} for n in counts]


def settings(detector: str, distill: str = "ld+kd", **other: object) -> DetectSettings:
    return DetectSettings.model_validate({"detector": detector, "distill": distill, **other})


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


BINS = torch.linspace(-2, 2, 9, dtype=torch.float64)
DIVERGENCES = [softened_kl, softened_binary_kl, lambda a, b, t: periodic_angle_kl(a, b, t, BINS)]


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_divergences(divergence):
    student, teacher = logits(3, 5, 9).requires_grad_(True), logits(3, 5, 9, seed=1)
    assert divergence(student, teacher, 4.0).shape == (3, 5)
    assert (divergence(student, teacher, 4.0) > 0).all()
    torch.testing.assert_close(divergence(teacher, teacher, 4.0), torch.zeros(3, 5).double())
    assert torch.autograd.gradcheck(lambda x: divergence(x, teacher, 3.0), student)
    # The square of T keeps the size of the gradient.
    norms = [
        torch.autograd.grad(divergence(student, teacher, t).sum(), student)[0].norm().item()
        for t in (100.0, 200.0)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=0.02)


def test_softened_kl_is_a_kth_of_the_textbooks_and_blind_to_a_shift():
    student, teacher = logits(4, 7), logits(4, 7, seed=1)
    log_p, log_q = (x.div(5.0).log_softmax(1) for x in (student, teacher))
    textbook = 25 * torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="none").sum(
        1
    )
    torch.testing.assert_close(softened_kl(student, teacher, 5.0), textbook / 7)
    torch.testing.assert_close(
        softened_kl(student + 3, teacher, 5.0), softened_kl(student, teacher, 5.0)
    )
    moved, still = (softened_binary_kl(x, teacher, 5.0).sum() for x in (student + 3, student))
    assert moved > 2 * still  # each class has its own probability: a shift moves all of them


def test_angles_half_a_turn_apart_are_one():
    bins = torch.arange(8, dtype=torch.float64) * math.pi / 4 - math.pi  # two rounds of half a turn
    first = torch.full((1, 8), -20.0, dtype=torch.float64)
    second, other = first.clone(), first.clone()
    first[0, 1] = second[0, 5] = other[0, 3] = 5.0  # first and second: half a turn apart
    assert periodic_angle_kl(first, second, 2.0, bins).item() == pytest.approx(0, abs=1e-9)
    assert softened_kl(first, second, 2.0).item() > 1
    assert periodic_angle_kl(first, other, 2.0, bins).item() > 1


def test_the_valuable_region_lies_under_the_threshold():
    net = pair_of("gfl").student
    predictions = net.predict(IMAGES).of_image(0)
    targets = ImageTargets(torch.tensor([UPRIGHT, [50.0, 50.0, 90.0, 90.0]]), torch.tensor([0, 1]))
    rows, weight = valuable_region(predictions, targets)
    overlap = box_iou(predictions.anchors[rows], targets.boxes).amax(dim=1)
    assert len(rows) > 0
    assert (weight <= overlap + 1e-6).all()
    best = box_iou(predictions.anchors, targets.boxes).argmax(dim=0)
    assert not set(best.tolist()) & set(rows.tolist())  # an object's best anchor is its own
    none = valuable_region(predictions, ImageTargets(torch.zeros(0, 4), torch.zeros(0).long()))
    assert len(none.rows) == len(none.weight) == 0


def test_the_rotated_region_knows_the_angle():
    net = pair_of("rotated-retinanet").student
    predictions = net.predict(IMAGES).of_image(0)
    targets = ImageTargets(torch.tensor([ROTATED]), torch.tensor([0]))
    rows, weight = rotated_region(predictions, targets)
    sides = predictions.anchors[rows, 2:] - predictions.anchors[rows, :2]
    middles = predictions.anchors[rows, :2] + sides / 2
    anchors = torch.cat((middles, sides, torch.zeros(len(rows), 1)), dim=1)
    torch.testing.assert_close(weight, rotated_iou(anchors, targets.boxes).flatten())
    blind = rotated_region(predictions, targets, ignores_angle=True)
    assert set(blind.rows.tolist()) != set(rows.tolist())
    assert (
        len(
            rotated_region(predictions, ImageTargets(torch.zeros(0, 5), torch.zeros(0).long())).rows
        )
        == 0
    )


@pytest.mark.parametrize("detector", DENSE)
def test_terms_reach_the_student_and_nothing_else(detector):
    pair = pair_of(detector)
    task = DenseDistillation(pair, settings(detector, imitation={"region": "gt"})).train()
    losses = task(IMAGES, targets_of(detector, 1, 0), 0.5)
    names = {"ld", "vlr_ld", "kd", "imitation"} if detector == "gfl" else {"ld", "kd", "imitation"}
    assert names < set(losses)
    terms = torch.stack([losses[name] for name in sorted(names)])
    assert (terms > 0).all()
    terms.sum().backward()
    assert pair.student.backbone.body.layer4[0].conv1.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in pair.teacher.parameters())
    assert set(task.state_dict()) == {f"student.{k}" for k in pair.student.state_dict()}
    plain = pair.student(IMAGES, targets_of(detector, 1, 0))
    for name, loss in plain.items():  # the labels' own losses are as without a teacher
        torch.testing.assert_close(losses[name], loss)


@pytest.mark.parametrize("detector", DENSE)
def test_equal_detectors_have_nothing_to_learn(detector):
    task = DenseDistillation(pair_of(detector, same=True), settings(detector))
    losses = task(IMAGES, targets_of(detector, 2, 1), 0.5)
    assert losses["ld"].item() == pytest.approx(0, abs=1e-7)
    assert losses["kd"].item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("detector", DENSE)
@pytest.mark.parametrize(("distill", "absent"), [("ld", {"kd"}), ("kd", {"ld", "vlr_ld"})])
def test_each_way_has_its_own_terms(detector, distill, absent):
    task = DenseDistillation(pair_of(detector), settings(detector, distill))
    assert not absent & set(task(IMAGES, targets_of(detector, 1, 1), 0))


@pytest.mark.parametrize("detector", DENSE)
def test_images_without_objects_have_no_distillation_loss(detector):
    task = DenseDistillation(pair_of(detector), settings(detector))
    losses = task(IMAGES, targets_of(detector, 0, 0), 0)
    assert losses["ld"].item() == losses["kd"].item() == 0
    torch.stack(list(losses.values())).sum().backward()


def test_per_positive_terms_do_not_grow_with_the_objects_but_published_ones_do():
    pair, found = pair_of("gfl"), {}
    far = torch.tensor([UPRIGHT, [62.0, 60.0, 94.0, 90.0]])
    for normalise in ("positives", "published"):
        chosen = settings("gfl", "ld", localization={"normalise": normalise}, batch_size=1)
        task = DenseDistillation(pair, chosen)
        for count in (1, 2):
            target = [{"boxes": far[:count], "labels": torch.ones(count, dtype=torch.int64)}]
            found[normalise, count] = task(IMAGES[:1], target, 0)["ld"].item()
    assert found["published", 2] > 1.5 * found["published", 1]
    assert found["positives", 2] < 1.5 * found["positives", 1]


def test_published_terms_of_upright_boxes_have_the_published_weights():
    pair, targets = pair_of("gfl"), targets_of("gfl", 1)
    chosen = settings("gfl", "ld", localization={"normalise": "published"}, batch_size=1)
    losses = DenseDistillation(pair, chosen)(IMAGES[:1], targets, 0)
    own, taught = (net.predict(IMAGES[:1]).of_image(0) for net in (pair.student, pair.teacher))
    targets = ImageTargets(targets[0]["boxes"], targets[0]["labels"])
    rows, weight = valuable_region(own, targets)
    each = softened_kl(own.box_logits[rows], taught.box_logits[rows], 10.0).sum(dim=1)
    torch.testing.assert_close(losses["vlr_ld"], 0.25 * (weight * each).sum() / 16)
    rows = (pair.student.criterion.assign(own, targets) >= 0).nonzero().flatten()
    each = softened_kl(own.box_logits[rows], taught.box_logits[rows], 10.0).sum(dim=1)
    sure = own.class_logits[rows].sigmoid().amax(dim=1)
    torch.testing.assert_close(losses["ld"], 0.25 * (sure * each).sum() / 4)


def test_published_sums_do_not_depend_on_how_the_batch_is_dealt_out():
    pair = pair_of("gfl")
    chosen = settings("gfl", "ld", localization={"normalise": "published"}, batch_size=2)
    task, targets = DenseDistillation(pair, chosen), targets_of("gfl", 1, 1)
    together = task(IMAGES, targets, 0)["ld"].item()
    alone = [task(IMAGES[k : k + 1], targets[k : k + 1], 0)["ld"].item() for k in range(2)]
    assert together == pytest.approx(sum(alone) / 2, rel=1e-4)


def test_rotated_terms_are_means_of_each_level_with_the_published_weights():
    pair, targets = pair_of("rotated-retinanet"), targets_of("rotated-retinanet", 1)
    task = DenseDistillation(pair, settings("rotated-retinanet", batch_size=1))
    losses = task(IMAGES[:1], targets, 0)
    own, taught = (net.predict(IMAGES[:1]).of_image(0) for net in (pair.student, pair.teacher))
    targets = ImageTargets(targets[0]["boxes"], targets[0]["labels"])
    rows, weight = rotated_region(own, targets, ignores_angle=True)
    boxes = softened_kl(own.box_logits[rows], taught.box_logits[rows], 5.0).sum(dim=1)
    classes = softened_kl(own.class_logits[rows], taught.class_logits[rows], 5.0)
    level = torch.repeat_interleave(torch.arange(5), torch.tensor(own.levels))[rows]
    for name, each, usual in (("ld", boxes, 10.0), ("kd", classes, 20.0)):
        means = [(weight * each)[level == k].mean() for k in level.unique()]
        torch.testing.assert_close(losses[name], usual * torch.stack(means).sum())


def test_periodic_angles_change_the_fifth_parameter_only():
    pair = pair_of("rotated-retinanet")
    plain, periodic = (
        DenseDistillation(pair, settings("rotated-retinanet", "ld", localization={"angle": angle}))
        for angle in ("plain", "periodic")
    )
    own, taught = pair.student.predict(IMAGES).of_image(0), pair.teacher.predict(IMAGES).of_image(0)
    region = rotated_region(own, ImageTargets(torch.tensor([ROTATED]), torch.tensor([0])))
    a, b = (way._box_divergence(own, taught, region) for way in (plain, periodic))
    assert torch.equal(a[:, :4], b[:, :4])
    assert not torch.equal(a[:, 4], b[:, 4])


def test_a_teacher_with_other_outputs_is_refused():
    pair = pair_of("gfl")
    spec = DetectorSpec("gfl", "resnet18", ("a", "b", "c"), 96, True, 32)
    other = DistillationPair(pair.student, build_detector(spec).eval(), 0)
    with pytest.raises(UserError, match="3 classes"):
        DenseDistillation(other, settings("gfl"))(IMAGES, targets_of("gfl", 1, 1), 0)


@pytest.mark.parametrize("detector", DENSE)
@pytest.mark.parametrize("region", ["gibox", "fine-grained", "gt"])
def test_imitation(detector, region):
    pair, chosen = pair_of(detector), ImitationSettings(region=region, weight=1.0)
    own, taught = pair.student.predict(IMAGES), pair.teacher.predict(IMAGES)
    box = UPRIGHT if detector == "gfl" else ROTATED
    targets = [ImageTargets(torch.tensor([box]), torch.tensor([0]))] * 2
    loss = imitation_loss(own, taught, targets, pair.student, chosen)
    assert loss > 0
    assert imitation_loss(own, own, targets, pair.student, chosen) == 0
    moved = own._replace(maps=tuple(x + 1 for x in own.maps))
    levels = imitation_loss(moved, own, targets, pair.student, chosen).item()
    assert levels == pytest.approx(round(levels))  # a mean over places and channels, 1 a level
    assert 1 <= round(levels) <= 5
    nothing = [ImageTargets(torch.zeros(0, len(box)), torch.zeros(0).long())] * 2
    empty = imitation_loss(own, taught, nothing, pair.student, chosen)
    assert (empty > 0) == (region == "gibox" and detector != "gfl")
