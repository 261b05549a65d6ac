"""Soft labels and generated images for the features alone: formulas by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from classify.losses.distillation import unit_distance
from classify.losses.settings import LossSettings
from classify.methods.base import Batch
from classify.methods.generated_features import GeneratedFeatures
from classify.methods.phases import MethodInputs
from classify.training.criterion import LabelCriterion, label_criterion
from classify.training.settings import TrainSettings
from classify.training.uses.soft_labels import mean_of_labels
from tgn.models.backbones import build_backbone
from tgn.models.settings import BackboneSettings
from tgn.runtime.devices import Device

UNIFORM = torch.full((3,), 1 / 3).double()


def batch_of(labels, generated, images=None, **changes) -> Batch:
    labels, generated = torch.tensor(labels), torch.tensor(generated)
    images = torch.zeros(0) if images is None else images
    one = torch.ones(len(labels))
    plain = Batch(images, labels, labels, one, generated, generated, UNIFORM, 0.0)
    return plain._replace(**changes)


def test_a_soft_label_is_half_by_class_and_half_by_the_judge():
    probabilities = torch.tensor([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])
    found = mean_of_labels(torch.tensor([0, 1]), probabilities)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.25, 0.15], [0.0, 1.0, 0.0]]))


@pytest.mark.parametrize("name", ["ce", "balanced-softmax", "logit-adjustment"])
def test_the_loss_of_a_soft_label_is_the_mean_of_those_of_its_classes(name):
    prior = torch.tensor([0.6, 0.3, 0.1]).double()
    logits = torch.tensor([[1.0, -0.5, 0.25]])
    criterion = LabelCriterion(name, "none", LossSettings(), torch.tensor([6, 3, 1]))

    def loss(label: int, targets=None) -> float:
        found = batch_of([label], [True], prior=prior, targets=targets)
        return float(criterion(logits, found))

    by_hand = 0.6 * loss(0) + 0.25 * loss(1) + 0.15 * loss(2)
    soft = torch.tensor([[0.6, 0.25, 0.15]])
    assert loss(0, soft) == pytest.approx(by_hand)
    for label in range(3):
        certain = F.one_hot(torch.tensor([label]), 3).float()
        assert loss(label, certain) == pytest.approx(loss(label))


def test_of_a_mixed_image_both_labels_are_soft():
    """-log softmax of equal logits is log 3, whatever the labels: so logits differ here."""
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    criterion = LabelCriterion("ce", "none", LossSettings(), torch.tensor([1, 1, 1]))
    own, other = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 0.5, 0.5]])
    partners, share = torch.tensor([1]), torch.tensor([0.25])
    mixed = batch_of([0], [True], partners=partners, share=share)
    found = criterion(logits, mixed._replace(targets=own, partner_targets=other))
    log_sum = math.log(math.exp(2) + 2)
    assert float(found) == pytest.approx(0.25 * (log_sum - 2) + 0.75 * log_sum)


def test_the_distance_of_unit_embeddings_by_hand():
    student = torch.tensor([[3.0, 0], [0, 2], [-1, 0], [3, 4]]).double().requires_grad_()
    teacher = torch.tensor([[1.0, 0]] * 4).double().requires_grad_()
    torch.testing.assert_close(
        unit_distance(student, teacher), torch.tensor([0.0, 2.0, 4.0, 2 - 2 * 0.6])
    )
    unit_distance(student, teacher).sum().backward()
    assert teacher.grad is None
    assert student.grad is not None


def method(net, weight=2.0) -> GeneratedFeatures:
    settings = TrainSettings(arch="tiny", generated_use="features", generated_weight=weight)
    counts = torch.tensor([1, 1, 1])
    criterion = label_criterion(settings, counts, counts)
    inputs = MethodInputs(net, criterion, {}, counts, None, None, Device(settings), 0)
    return GeneratedFeatures(inputs, weight)


def test_the_classifier_learns_from_real_images_and_the_features_from_generated_ones():
    net = build_backbone(BackboneSettings(arch="tiny", size=16), ("a", "b", "c"))
    trained = method(net.train())
    images = torch.randn(4, 3, 16, 16)
    found = batch_of([0, 1, 2, 0], [False, False, True, True], images)
    with torch.no_grad():  # the student has moved on
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    output = trained(found)
    logits = output.logits.detach()
    losses = F.cross_entropy(logits, found.labels, reduction="none")
    torch.testing.assert_close(output.terms["labels"].detach(), losses[:2].sum() / 4)
    assert output.terms["features"] > 0
    total = output.terms["labels"] + 2 * output.terms["features"]
    torch.testing.assert_close(output.loss, total)
    other = trained(found._replace(labels=torch.tensor([0, 1, 0, 1])))
    # Labels of generated images play no part; batch statistics are those of the same images.
    torch.testing.assert_close(other.terms["labels"], output.terms["labels"])
    real = trained(batch_of([0, 1, 2, 0], [False] * 4, images))
    assert float(real.terms["features"].detach()) == 0
    assert "start" not in " ".join(trained.state_dict())


def test_of_a_mixed_image_the_distance_counts_by_the_generated_share():
    net = build_backbone(BackboneSettings(arch="tiny", size=16), ("a", "b", "c")).eval()
    trained = method(net).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    images = torch.randn(1, 3, 16, 16)
    whole = trained(batch_of([0], [True], images)).terms["features"]
    pasted = batch_of([0], [False], images, share=torch.tensor([0.75]))
    pasted = pasted._replace(partners=torch.tensor([1]), partner_is_generated=torch.tensor([True]))
    torch.testing.assert_close(trained(pasted).terms["features"], 0.25 * whole)
