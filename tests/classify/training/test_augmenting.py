"""Changes of a step's images: by seed and step alone, whatever the batch and the process."""

import pytest
import torch

from classify.losses.long_tail import logit_adjusted
from classify.losses.settings import LossSettings
from classify.methods.base import Batch
from classify.training.augmenting import Augmenter, at_side
from classify.training.criterion import LabelCriterion
from classify.training.settings import TrainSettings
from tgn.data.augmentation import draw_crops, relight, rotated_crops
from tgn.data.images import to_pm1
from tgn.data.random_policies import apply_policy
from tgn.runtime.devices import Device

IMAGES = torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8)


def augmenter(**changes) -> Augmenter:
    settings = TrainSettings.model_validate(
        {"device": "cpu", "precision": "float32", "size": 16, **changes}
    )
    return Augmenter(settings, Device(settings))


@pytest.mark.parametrize("name", ["randaugment", "trivial"])
def test_an_image_and_its_seed_give_one_result_in_every_batch(name):
    seeds = list(range(6))
    state = torch.get_rng_state()
    whole = apply_policy(name, IMAGES, seeds)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    part = apply_policy(name, IMAGES[2:4], seeds[2:4])
    assert torch.equal(part, whole[2:4])
    same = IMAGES[:1].expand(40, -1, -1, -1)
    many = apply_policy(name, same, range(40))
    assert len({bytes(image.numpy().tobytes()) for image in many}) > 20


@pytest.mark.parametrize("name", ["overhead", "randaugment", "trivial", "none"])
@pytest.mark.parametrize("crop", [None, 0.5])
def test_a_part_of_a_batch_is_changed_as_within_the_whole(name, crop):
    if name == "none" and crop:
        return
    one = augmenter(augmentation=name, smallest_crop=crop)
    drawn, rows = one.draw(6, 3), torch.arange(6)
    whole = one.changed(IMAGES, rows, drawn)
    torch.testing.assert_close(one.changed(IMAGES, rows[3:], drawn), whole[3:])
    assert torch.equal(one.changed(IMAGES, rows, one.draw(6, 3)), whole)
    assert torch.equal(whole, to_pm1(IMAGES)) == (name == "none")
    if name != "none":
        assert not torch.equal(one.changed(IMAGES, rows, one.draw(6, 4)), whole)


def test_overhead_crops_are_those_of_their_numbers_then_relit():
    one = augmenter(smallest_crop=0.6)
    drawn, rows = one.draw(6, 0), torch.arange(6)
    expected = relight(rotated_crops(to_pm1(IMAGES), drawn.crops, 0.6), drawn.overhead)
    torch.testing.assert_close(one.changed(IMAGES, rows, drawn), expected)


def test_a_crop_of_the_whole_turned_by_nothing_is_the_image():
    numbers = torch.tensor([[0.3, 0.0, 0.7, 0.2, 0.1]]).expand(6, -1)
    images = to_pm1(IMAGES)
    torch.testing.assert_close(rotated_crops(images, numbers, 1.0), images, atol=1e-4, rtol=0)
    draw = draw_crops(500, torch.Generator().manual_seed(0))
    assert draw.shape == (500, 5)
    assert (draw.min() >= 0) & (draw.max() < 1)


def test_the_side_changes_from_step_to_step_and_is_one_of_those_asked_for():
    one = augmenter(mixed_sizes="16,24,32")
    sides = [one.draw(6, step).side for step in range(30)]
    assert set(sides) == {16, 24, 32}
    assert sides == [augmenter(mixed_sizes=[16, 24, 32]).draw(6, step).side for step in range(30)]
    assert at_side(to_pm1(IMAGES), 24).shape == (6, 3, 24, 24)
    assert at_side(to_pm1(IMAGES), 24).abs().max() <= 1
    assert augmenter().draw(6, 0).side is None


def batch_of(labels: torch.Tensor, prior: torch.Tensor) -> Batch:
    ones, real = torch.ones(len(labels)), torch.zeros(len(labels), dtype=torch.bool)
    return Batch(torch.zeros(0), labels, labels, ones, real, real, prior, 0.0)


def test_smoothed_labels_by_hand():
    logits, labels = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    prior = torch.tensor([0.5, 0.3, 0.2])
    for name, shifted in (("ce", logits), ("balanced-softmax", logits + prior.log())):
        criterion = LabelCriterion(name, "none", LossSettings(), torch.tensor([5, 3, 2]), 0.3)
        target = torch.tensor([0.8, 0.1, 0.1])
        expected = -(target * shifted.log_softmax(1)).sum()
        torch.testing.assert_close(criterion(logits, batch_of(labels, prior)), expected)
    moved = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: logit_adjusted(given, labels, prior.double(), 0.5, 0.2), moved
    )
