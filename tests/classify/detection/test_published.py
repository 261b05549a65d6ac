"""Losses, weights and regions as released: numbers worked out by hand, and mmdetection's own."""

import math

import pytest
import torch

from classify.detection.boxes import gaussian_losses
from classify.detection.distill import localization
from classify.detection.distill.base import DistillationPair
from classify.detection.distill.divergences import softened_kl
from classify.detection.distill.imitation import general_instances, imitation_loss
from classify.detection.distill.localization import DenseDistillation
from classify.detection.distill.regions import Region, rotated_region
from classify.detection.models.batch_means import LossSum, batch_means
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.models.dense_losses import ROTATED_WEIGHTS, ImagePredictions, ImageTargets
from classify.detection.settings.detector import DetectSettings, ImitationSettings

# Upright boxes 4 x 2 and 16 x 8, centres (3, 4) apart. Standard deviations are half the sides:
# d^2 = 3^2 + 4^2 + (8 - 2)^2 + (4 - 1)^2 = 70.
# gwd: s = (4 * 2 * 16 * 8)^(1/4) = 1024^(1/4) = 5.656854; log(1 + 8.366600 / 5.656854) = 0.907863.
# gwd-bounded: s = (16 * 8)^(1/2) = 11.313708; 1 - 1 / (1 + log(1.739510)) = 0.356335.
# kld: 2 D = 9/64 + 16/16 + (4/64 + 1/16) + log(64 * 16 / (4 * 1)) - 2 = 4.810802;
#      1 - 1 / (1 + log(5.810802)) = 0.637644.
# kld-half: D = 2.405401; 1 - 1 / (1 + log(3.405401)) = 0.550635.
BY_HAND = [
    ("gwd_loss", 0.907863),
    ("bounded_gwd_loss", 0.356335),
    ("kld_loss", 0.637644),
    ("halved_kld_loss", 0.550635),
]


@pytest.mark.parametrize(("name", "expected"), BY_HAND)
def test_losses_of_gaussians(name, expected):
    predicted = torch.tensor([[10.0, 20, 4, 2, 0]], dtype=torch.float64)
    target = torch.tensor([[13.0, 24, 16, 8, 0]], dtype=torch.float64)
    found = getattr(gaussian_losses, name)(predicted, target)
    assert found.item() == pytest.approx(expected, abs=2e-6)


def test_boxes_that_are_too_small_have_the_released_gradient():
    # A box k times too small in both sides a: d = (a - a/k)/sqrt(2), s = a/sqrt(k), so the loss
    # is log(1 + q) with q = (sqrt(k) - 1/sqrt(k))/sqrt(2). By the side's logarithm, -log k:
    # -(sqrt(k) + 1/sqrt(k)) / (2 sqrt(2) (1 + q)). For k = 4: q = 1.060660, 0.428932.
    size = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    predicted = torch.stack((*torch.zeros(2), 5 * size.exp(), 5 * size.exp(), torch.zeros(())))
    target = torch.tensor([[0.0, 0, 20, 20, 0]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(gaussian_losses.gwd_loss(predicted[None], target), size)
    assert gradient.item() == pytest.approx(-0.428932, abs=1e-5)
    assert ROTATED_WEIGHTS == {
        "smooth-l1": 1, "gwd": 5, "gwd-bounded": 5, "kld": 1, "kld-half": 1
    }  # fmt: skip


def test_softened_divergence():
    # T = 2. Teacher (2 log 3, 0): softened 3/4 and 1/4; student 1/2 and 1/2. 4 times the mean
    # over 2 bins of 0.75 log 1.5 and 0.25 log 0.5 = 4 * 0.130812 / 2.
    teacher = torch.tensor([[2 * math.log(3), 0.0]])
    assert softened_kl(torch.zeros(1, 2), teacher, 2.0).item() == pytest.approx(0.261624, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({"detector": "gfl"}, (10, 2, 0.25, 0.25, 10)),
        ({"detector": "gfl", "localization": {"normalise": "positives"}}, (10, 2, 4, 4, 10)),
        ({}, (5, 5, 10, 0, 20)),
        ({"box_loss": "kld"}, (5, 5, 15, 0, 15)),
        ({"box_loss": "kld", "localization": {"ld_weight": 3.0}}, (5, 5, 3, 0, 15)),
        ({"box_loss": "smooth-l1"}, (5, 5, 10, 0, 20)),
    ],
)
def test_weights_depend_on_the_box_loss(changes, weights):
    values = {"detector": "rotated-retinanet", "distill": "ld+kd", **changes}
    settings = DetectSettings.model_validate(values)
    assert settings.distillation_weights == weights
    shown = settings.resolved.explained()
    assert f"ld_weight: {float(weights[2])}" in shown
    assert f"kd_weight: {float(weights[4])}" in shown
    assert settings.localization.kd_weight is None  # what is recorded is what was given


def pair_of(detector: str) -> DistillationPair:
    torch.manual_seed(0)
    spec = DetectorSpec(detector, "resnet18", ("a", "b"), 64, True, 32)
    nets = [build_detector(spec) for _ in range(2)]
    return DistillationPair(nets[0], nets[1].eval().requires_grad_(False), seed=0)


def outputs(parameters: int, bins: int, temperature: float) -> list[ImagePredictions]:
    """Return a student that knows nothing and a teacher that prefers first bins and classes."""
    anchors = torch.zeros(6, 4)
    student = ImagePredictions(torch.zeros(6, 2), torch.zeros(6, parameters, bins), anchors, (4, 2))
    boxes, classes = student.box_logits.clone(), student.class_logits.clone()
    boxes[:, :, 0] = temperature * math.log(bins)
    classes[:, 0] = 2 * math.log(3)
    return [student, student._replace(box_logits=boxes, class_logits=classes)]


def test_terms_of_upright_boxes(monkeypatch):
    # K = 17, T = 10, the teacher's first bin 17 / 33, the others 1 / 33: 100 times the mean over 17
    # of 17/33 log(289/33) + 16/33 log(17/33) = 0.796240: 4.683764. Two positives of score 1/2:
    # 0.25 * 2 * (4 * 4.683764 * 0.5) / 4, times 3 images = 3.512823. Two valuable anchors of IoU
    # 0.3: 0.25 * 2 * (4 * 4.683764 * 0.3) / 16, times 3 = 0.526923. KD, T = 2: 10 * 0.261624.
    pair = pair_of("gfl")
    objects = torch.tensor([-1, 0, 0, -1, -1, -1])
    monkeypatch.setattr(pair.student.criterion, "assign", lambda *_: objects)
    near = Region(torch.tensor([0, 4]), torch.tensor([0.3, 0.3]))
    monkeypatch.setattr(localization, "valuable_region", lambda *_: near)
    settings = DetectSettings(detector="gfl", distill="ld+kd", batch_size=3)
    nothing = ImageTargets(torch.zeros(0, 4), torch.zeros(0))
    terms = dict(DenseDistillation(pair, settings)._terms(*outputs(4, 17, 10.0), nothing))
    found = {name: mean.item() for name, mean in batch_means([terms] * 2, lambda x: x).items()}
    expected = {"ld": 3.512823, "vlr_ld": 0.526923, "kd": 2.616240}
    assert found == pytest.approx(expected, abs=1e-4)


def waves(shape: tuple[int, ...], step: float, height: float) -> torch.Tensor:
    """Return numbers that another program draws alike."""
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    return (height * torch.sin(step * places)).view(shape).float()


def test_losses_of_gfl_and_ld_are_those_of_mmdetection():
    """Expected: what ``LDHead`` of mmdetection 3.3.0 gives for these two images of 128 px."""
    spec = DetectorSpec("gfl", "resnet18", ("a", "b", "c"), 128, True, 32)
    net = build_detector(spec)
    made = net.predict([torch.zeros(3, 128, 128)] * 2)
    count = len(made.anchors)
    own = made._replace(
        class_logits=waves((2, count, 3), 0.7, 2.0) - 2,
        box_logits=waves((2, count, 4, 17), 1.3, 3.0),
    )
    taught = own._replace(box_logits=waves((2, count, 4, 17), 0.9, 3.0))
    boxes = [[10.0, 20, 50, 44], [60, 60, 120, 110]], [[4.0, 4, 20, 18]]
    targets = [
        ImageTargets(torch.tensor(some), torch.tensor(labels))
        for some, labels in zip(boxes, ([0, 2], [1]), strict=True)
    ]
    settings = DetectSettings(detector="gfl", distill="ld", batch_size=2)
    task = DenseDistillation(DistillationPair(net, net, seed=0), settings)
    terms = [
        dict(task._terms(own.of_image(k), taught.of_image(k), one)) for k, one in enumerate(targets)
    ]
    found = net.losses(own, targets) | batch_means(terms, lambda x: x)
    expected = {"classes": 3.372402, "giou": 1.809215, "dfl": 1.100896, "ld": 0.424380}
    assert {name: found[name].item() for name in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("box_loss", "ld", "kd"), [("gwd", 95.1975, 7.659776), ("kld", 142.7963, 5.744832)]
)
def test_terms_of_rotated_boxes(monkeypatch, box_loss, ld, kd):
    # K = 9, T = 5, the teacher's first bin 9 / 17, the others 1 / 17: 25 times the mean over 9 of
    # 9/17 log(81/17) + 8/17 log(9/17) = 0.527248: 1.464577. The first level has anchors of IoU 0.4
    # and 0.6, their mean 0.5, the second one of 0.8, together 1.3: 10 * 5 * 1.464577 * 1.3 =
    # 95.1975. Classes, T = 5: the teacher's odds 9^(1/5), p = 0.608127: 25 times the mean over 2
    # of p log 2p and (1 - p) log 2(1 - p) = 0.294607; 20 * 0.294607 * 1.3 = 7.659776. KLD: 15, 15.
    region = Region(torch.tensor([0, 2, 5]), torch.tensor([0.4, 0.6, 0.8]))
    monkeypatch.setattr(localization, "rotated_region", lambda *_: region)
    settings = DetectSettings(detector="rotated-retinanet", distill="ld+kd", box_loss=box_loss)
    nothing = ImageTargets(torch.zeros(0, 5), torch.zeros(0))
    task = DenseDistillation(pair_of("rotated-retinanet"), settings)
    terms = dict(task._terms(*outputs(5, 9, 5.0), nothing))
    found = {name: mean.item() for name, mean in batch_means([terms] * 2, lambda x: x).items()}
    assert found == pytest.approx({"ld": ld, "kd": kd}, rel=1e-5)


def test_the_released_region_reads_opencvs_boxes():
    # A lying object of 60 x 10. OpenCV says 10 x 60 at 90 degrees; without the angle it stands.
    # Its IoU with a standing anchor is 1, with a lying one 100 / 1100; a quarter of their mean and
    # deviation is 0.25 * (0.545455 + 0.642824) = 0.297. Of the exact overlaps it is the reverse.
    target = ImageTargets(torch.tensor([[50.0, 50, 60, 10, 0]]), torch.tensor([0]))
    anchors = torch.tensor([[45.0, 20, 55, 80], [20.0, 45, 80, 55]])
    predictions = ImagePredictions(torch.zeros(2, 1), torch.zeros(2, 5, 9), anchors, (2,))
    for ignores_angle, row in ((True, 0), (False, 1)):
        rows, weight = rotated_region(predictions, target, ignores_angle)
        assert rows.tolist() == [row]
        assert weight.tolist() == pytest.approx([1.0])


def test_general_instances_differ_most_in_a_class_ten_a_level():
    pair = pair_of("gfl")
    own = pair.student.predict([torch.zeros(3, 64, 64)])
    assert own.levels == (64, 16, 4, 1, 1)
    scores = torch.full((1, 86, 2), 0.5)
    scores[0, 30] = torch.tensor([0.9, 0.1])  # the best score is the teacher's, the class is not
    scores[0, 40] = torch.tensor([0.7, 0.5])
    student = own._replace(class_logits=torch.logit(scores))
    teacher = own._replace(class_logits=torch.logit(torch.full((1, 86, 2), 0.5)))
    swapped = teacher.class_logits.clone()
    swapped[0, 30] = torch.logit(torch.tensor([0.1, 0.9]))
    teacher = teacher._replace(class_logits=swapped)
    # Boxes of one bin's width: neighbours do not overlap.
    small = torch.zeros_like(own.box_logits)
    small[..., 0] = 100.0
    student, teacher = (one._replace(box_logits=small) for one in (student, teacher))
    rows = general_instances(student.of_image(0), teacher.of_image(0), pair.student)
    assert rows[:2].tolist() == [30, 40]
    level = torch.bucketize(rows, torch.tensor(own.levels).cumsum(0), right=True)
    assert level.bincount().tolist() == [10, 10, 4, 1, 1]


def test_imitation_is_a_mean_of_each_level_summed_over_those_with_objects(monkeypatch):
    pair = pair_of("gfl")
    own = pair.student.predict([torch.zeros(3, 64, 64)])
    taught = own._replace(maps=tuple(x + k for k, x in enumerate(own.maps, start=1)))
    objects = torch.full((86,), -1)
    objects[[5, 70]] = 0  # on the first and the second level
    monkeypatch.setattr(pair.student.criterion, "assign", lambda *_: objects)
    targets = [ImageTargets(torch.tensor([[-13.0, -13, 77, 77]]), torch.tensor([0]))]
    for region in ("gibox", "fine-grained", "gt"):
        settings = ImitationSettings(region=region)
        loss = imitation_loss(own, taught, targets, pair.student, settings)
        assert loss.item() == pytest.approx(2.0 * (1**2 + 2**2), rel=1e-5)


def test_as_many_boxes_are_suppressed_as_published():
    def built(detector, candidates=None):
        spec = DetectorSpec(detector, "resnet18", ("a",), 64, True, 32, nms_candidates=candidates)
        return build_detector(spec)

    proposals = built("faster-rcnn").rpn
    assert proposals.train().pre_nms_top_n() == 4000
    assert proposals.eval().pre_nms_top_n() == 2000
    assert built("faster-rcnn", 300).rpn.eval().pre_nms_top_n() == 300
    assert built("retinanet").topk_candidates == 1000
    assert built("gfl").nms_candidates == 1000
    assert built("rotated-retinanet").nms_candidates == 2000
    few = built("rotated-retinanet", 1).eval()
    torch.nn.init.constant_(few.head.score.bias, 2.0)  # every box of every level has a high score
    (found,) = few([torch.rand(3, 64, 64)])
    assert len(found["boxes"]) <= 5  # one a level


def test_each_object_of_a_batch_counts_the_same():
    # 30 objects with a loss of 1 each beside an image with one of 3: (30 + 3) / 31 = 1.0645, where
    # the mean of the images' means would be 2.
    crowded = LossSum(torch.tensor(30.0), torch.tensor(30.0))
    alone = LossSum(torch.tensor(3.0), torch.tensor(1.0))
    images = [{"boxes": crowded}, {"boxes": alone}]
    assert batch_means(images, lambda x: x)["boxes"].item() == pytest.approx(33 / 31)
    # Of two processes with one image each, gradients are averaged: 33 / 31 again.
    parts = [batch_means([one], lambda _: torch.tensor([15.5])) for one in images]
    assert sum(part["boxes"] for part in parts).item() / 2 == pytest.approx(33 / 31)
    # Levels are divided one by one: 4 / 2 + 6 / 3; empty ones count as 0.
    levels = LossSum(torch.tensor([4.0, 6.0, 0.0]), torch.tensor([2.0, 3.0, 0.0]))
    assert batch_means([{"kd": levels}], lambda x: x)["kd"].item() == pytest.approx(4.0)
