"""Losses of long-tailed labels: known values, limits, gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from classify.losses.long_tail import effective_weights, focal, ldam, ldam_margins, logit_adjusted
from classify.losses.settings import LossSettings
from classify.methods.base import Batch
from classify.training.criterion import GeneratedWeight, LabelCriterion

LOGITS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 1, 0, 2])
COUNTS = torch.tensor([100, 10, 1])
PRIOR = COUNTS.double() / COUNTS.sum()
LOSSES = {
    "focal": lambda x: focal(x, LABELS, 2.0),
    "ldam": lambda x: ldam(x, LABELS, ldam_margins(COUNTS, 0.5).double(), 30.0),
    "logit-adjusted": lambda x: logit_adjusted(x, LABELS, PRIOR, 1.5),
}


def plain(logits):
    return F.cross_entropy(logits, LABELS, reduction="none")


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_and_invariance_to_a_shift(name):
    loss = LOSSES[name]
    assert loss(LOGITS).shape == (6,)
    torch.testing.assert_close(loss(LOGITS + 3.0), loss(LOGITS))
    assert gradcheck(loss, (LOGITS.clone().requires_grad_(True),))


def test_known_values():
    even, first = torch.zeros(1, 2), torch.tensor([1])
    prior = torch.tensor([0.75, 0.25])
    assert logit_adjusted(even, first, prior).item() == pytest.approx(-math.log(0.25))
    assert focal(even, first, 2.0).item() == pytest.approx(0.25 * math.log(2))
    # 16 images against 1: margins in the ratio 1 : 2; the logit falls from 0 to -30 / 2 = -15.
    margins = ldam_margins(torch.tensor([16, 1]), 0.5)
    torch.testing.assert_close(margins, torch.tensor([0.25, 0.5]))
    assert ldam(even, first, margins, 30.0).item() == pytest.approx(math.log(1 + math.exp(15)))


def test_limits_are_cross_entropy():
    torch.testing.assert_close(focal(LOGITS, LABELS, 0.0), plain(LOGITS))
    torch.testing.assert_close(logit_adjusted(LOGITS, LABELS, PRIOR, 0.0), plain(LOGITS))
    even = torch.full((3,), 1 / 3, dtype=torch.float64)
    torch.testing.assert_close(logit_adjusted(LOGITS, LABELS, even), plain(LOGITS))
    with pytest.raises(ValueError, match="prior"):
        logit_adjusted(LOGITS, LABELS, even[:2])


def test_effective_numbers():
    weights = effective_weights(COUNTS, 0.99)
    by_hand = torch.tensor([(1 - 0.99) / (1 - 0.99**n) for n in (100, 10, 1)])
    torch.testing.assert_close(weights, by_hand * 3 / by_hand.sum())
    torch.testing.assert_close(effective_weights(COUNTS, 0.0), torch.ones(3))
    inverse = 1 / COUNTS.double()
    torch.testing.assert_close(
        effective_weights(COUNTS, 1 - 1e-9).double(), inverse * 3 / inverse.sum(), rtol=1e-5, atol=0
    )


def test_real_and_generated_images_have_the_weights_of_their_own_numbers():
    extra = torch.tensor([0, 90, 99])
    real, generated = effective_weights(torch.stack((COUNTS, extra)), 0.99)
    torch.testing.assert_close(real, effective_weights(COUNTS, 0.99))
    scale = real[0] * (1 - 0.99**100)
    by_hand = [0.0, float(scale) / (1 - 0.99**90), float(scale) / (1 - 0.99**99)]
    torch.testing.assert_close(generated, torch.tensor(by_hand))
    weighted = LabelCriterion(
        "ce", "effective-number", LossSettings(), COUNTS, generated=GeneratedWeight(1.0, extra)
    )
    first = batch(is_generated=torch.arange(6) == 1)
    kinds = weighted.class_weights
    rows = [kinds[int(k == 1), LABELS[k]] * plain(LOGITS)[k] for k in range(6)]
    torch.testing.assert_close(weighted(LOGITS, first), torch.stack(rows).mean())


def test_classes_without_images_change_nothing():
    absent = torch.tensor([100, 0, 10, 1])
    kept = [0, 2, 3]
    for of in (lambda n: effective_weights(n, 0.99), lambda n: ldam_margins(n, 0.5)):
        torch.testing.assert_close(of(absent)[kept], of(COUNTS))
        assert of(absent)[1] == 0


def batch(**changes) -> Batch:
    ones = torch.ones(6, dtype=torch.float64)
    known = {
        "images_pm1": torch.zeros(6, 3, 4, 4),
        "labels": LABELS,
        "partners": LABELS,
        "share": ones,
        "is_generated": ones < 1,
        "partner_is_generated": ones < 1,
        "prior": PRIOR,
        "progress": 0.0,
    }
    return Batch(**{**known, **changes})


def criterion(name="ce", reweighting="none", **numbers):
    return LabelCriterion(name, reweighting, LossSettings(**numbers), COUNTS)


def test_deferred_weights_come_in_the_last_fifth():
    deferred, always = criterion(reweighting="deferred"), criterion(reweighting="effective-number")
    early, late = batch(progress=0.79), batch(progress=0.8)
    assert deferred(LOGITS, early) == criterion()(LOGITS, early)
    assert deferred(LOGITS, late) == always(LOGITS, late) != criterion()(LOGITS, late)


def test_mixed_labels_are_linear():
    partners = LABELS.roll(1)
    mixed = batch(partners=partners, share=torch.full((6,), 0.25))
    other = F.cross_entropy(LOGITS, partners)
    expected = 0.25 * F.cross_entropy(LOGITS, LABELS) + 0.75 * other
    torch.testing.assert_close(criterion()(LOGITS, mixed), expected)


def test_the_weight_of_generated_images_is_of_the_label_that_each_brings():
    weight = GeneratedWeight(0.5, COUNTS)
    weighted = LabelCriterion("ce", "none", LossSettings(), COUNTS, generated=weight)
    share = torch.full((6,), 0.25, dtype=torch.float64)
    first, others = torch.arange(6) == 0, torch.arange(6) > 0
    mixed = batch(
        partners=LABELS.roll(1), share=share, is_generated=first, partner_is_generated=others
    )
    own, other = plain(LOGITS), F.cross_entropy(LOGITS, LABELS.roll(1), reduction="none")
    by_hand = [0.25 * 0.5 * own[0] + 0.75 * other[0]]
    by_hand += [0.25 * own[k] + 0.75 * 0.5 * other[k] for k in range(1, 6)]
    torch.testing.assert_close(weighted(LOGITS, mixed), torch.stack(by_hand).mean())


def test_balanced_softmax_is_logit_adjustment_with_tau_one():
    ours = criterion("balanced-softmax", logit_adjustment_tau=3.0)(LOGITS, batch())
    assert ours == criterion("logit-adjustment", logit_adjustment_tau=1.0)(LOGITS, batch())
    assert ours != criterion("logit-adjustment", logit_adjustment_tau=3.0)(LOGITS, batch())
