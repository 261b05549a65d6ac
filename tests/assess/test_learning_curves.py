"""Refits, thinning and the extrapolation, on features and curves whose truth is known."""

import numpy as np
import pytest
import torch

from tgn.assess.curve_model import fit_curves, plausibilities, stretched
from tgn.assess.extrapolation import class_interval, extrapolate
from tgn.assess.learning_curve import Observation, levels, measure_curves
from tgn.assess.refits import Refitter, class_folds, principal_basis
from tgn.probe.linear import balanced_weights
from tgn.probe.ridge import fit_ridge
from tgn.runtime.progress import Silent

CLASSES, DIMENSION = 10, 32
RARE = [6, 7, 8, 9]


def draw(counts, seed, spread=1.4):
    """Return features and labels of classes about fixed centres on the sphere."""
    rng = torch.Generator().manual_seed(99)
    centres = torch.nn.functional.normalize(torch.randn(CLASSES, DIMENSION, generator=rng), dim=1)
    rng = torch.Generator().manual_seed(seed)
    labels = torch.tensor([k for k, n in enumerate(counts) for _ in range(n)])
    noise = torch.randn(len(labels), DIMENSION, generator=rng) * spread / DIMENSION**0.5
    return torch.nn.functional.normalize(centres[labels] + noise, dim=1), labels


def test_a_refit_is_the_ridge_of_those_images():
    features, labels = draw([8] * CLASSES, 1)
    refitter = Refitter.of(features, labels, CLASSES)
    rows = torch.arange(0, len(labels), 2)
    weights = balanced_weights(labels[rows], CLASSES)
    expected = fit_ridge(
        refitter.features[rows],
        labels[rows],
        weights,
        torch.arange(len(rows)),
        CLASSES,
        (refitter.penalty,),
    ).head
    found = refitter.head(rows)
    torch.testing.assert_close(found.weight.float(), expected.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.bias.float(), expected.bias, rtol=1e-4, atol=1e-5)


def test_principal_directions_keep_all_products_where_all_are_kept():
    table = torch.randn(6, 20)
    reduced = table.double() @ principal_basis(table, 10)
    assert reduced.shape == (6, 6)
    torch.testing.assert_close(reduced @ reduced.T, table.double() @ table.double().T)


def test_folds_deal_every_class_out_evenly_and_leave_single_images_in():
    labels = torch.tensor([0] * 20 + [1] * 7 + [2])
    folds = class_folds(labels, 10, 0)
    assert torch.bincount(folds[:20]).tolist() == [2] * 10
    assert len(set(folds[20:27].tolist())) == 7
    assert int(folds[27]) == -1
    assert not torch.equal(folds, class_folds(labels, 10, 1))


def test_frequent_classes_are_thinned_to_rare_counts_and_doubled_on():
    assert levels([5, 12], [100, 50]) == [5, 10, 20, 40, 80]
    assert levels([1], [4]) == [2]


def test_no_accuracy_is_of_an_image_that_the_fit_has_seen():
    counts = [30] * 6 + [8] * 4
    features = torch.eye(sum(counts), 300)  # each image alone: only those seen can be told
    labels = torch.tensor([k for k, n in enumerate(counts) for _ in range(n)])
    refitter = Refitter.of(features, labels, CLASSES)
    assert bool(refitter.are_right(torch.arange(len(labels))).all())
    observations, _ = measure_curves(refitter, RARE, 3, 0, Silent())
    assert np.mean([one.accuracy for one in observations]) < 0.3


def test_a_curve_is_measured_at_the_counts_that_remain():
    features, labels = draw([40] * 6 + [8] * 4, 2)
    refitter = Refitter.of(features, labels, CLASSES)
    observations, shares = measure_curves(refitter, RARE, 3, 0, Silent())
    rare = {one.num_images for one in observations if one.label in RARE}
    assert rare == {2, 4, 6, 7}
    assert {one.num_images for one in observations if one.label not in RARE} == {8, 16, 32}
    assert set(shares) == {0.25, 0.5, 0.75, 1.0}
    assert shares[0.25] < shares[1.0]


def planted(slope, bend, intercepts, counts, images=400.0):
    found = []
    for label, intercept in enumerate(intercepts):
        for count in counts[label]:
            logit = intercept + slope * stretched(np.array(float(count)), bend)
            found.append(Observation(label, count, float(1 / (1 + np.exp(-logit))), images))
    return found


def test_the_model_finds_the_slope_and_the_bend_that_were_planted():
    counts = [[5, 10, 20, 40, 80]] * 6 + [[3, 6, 9]] * 4
    observations = planted(2.0, -0.5, [-1.5] * 6 + [-1.0] * 4, counts)
    models = fit_curves(observations, RARE, np.ones(CLASSES))
    best = models[int(plausibilities(models).argmax())]
    assert best.bend == -0.5
    assert best.slope == pytest.approx(2.0, rel=0.1)
    expected = 1 / (1 + np.exp(1.0 - 2.0 * stretched(np.array(40.0), -0.5)))
    assert best.accuracy([9], np.array([40.0]))[0] == pytest.approx(expected, abs=0.02)


def test_the_gain_of_a_planted_curve_is_predicted_within_its_interval():
    counts = [[5, 10, 20, 40, 80]] * 6 + [[3, 6, 9]] * 4
    observations = planted(1.0, 0.0, [-1.0] * 6 + [-1.5] * 4, counts)
    future = extrapolate(observations, [100] * 6 + [10] * 4, RARE, 0)

    def accuracy(count):
        return 1 / (1 + np.exp(1.5 - np.log(count)))

    for gain in future.gains:
        assert gain.low <= accuracy(10 * gain.factor) - accuracy(10) <= gain.high
        assert gain.gain == pytest.approx(accuracy(10 * gain.factor) - accuracy(10), abs=0.03)


def test_classes_without_a_slope_gain_nothing():
    counts = [[5, 10, 20, 40]] * 6 + [[3, 6, 9]] * 4
    observations = planted(0.0, 0.0, [1.0] * CLASSES, counts)
    future = extrapolate(observations, [50] * 6 + [10] * 4, RARE, 0)
    assert abs(future.gains[1].gain) < 0.01


def test_what_real_images_bring_is_what_was_predicted():
    counts = [100] * 6 + [6] * 4
    features, labels = draw(counts, 3, spread=3.0)
    test, truth = draw([200] * CLASSES, 4, spread=3.0)

    def tail(counts, seed):
        features, labels = draw(counts, seed, spread=3.0)
        refitter = Refitter.of(features, labels, CLASSES)
        scores = refitter.head(torch.arange(len(labels))).scores(test.double() @ refitter.basis)
        right = scores.argmax(1) == truth
        return float(right[torch.isin(truth, torch.tensor(RARE))].double().mean())

    refitter = Refitter.of(features, labels, CLASSES)
    observations, _ = measure_curves(refitter, RARE, 5, 0, Silent())
    predicted = extrapolate(observations, counts, RARE, 0).gains[1]
    true = np.mean([tail([100] * 6 + [24] * 4, seed) for seed in (5, 6, 7)]) - np.mean(
        [tail(counts, seed) for seed in (3, 8, 9)]
    )
    assert true > 0.05
    assert predicted.gain == pytest.approx(true, abs=0.08)
    assert predicted.low <= true <= predicted.high


def test_a_curve_that_falls_is_taken_as_level_at_the_mean_observed():
    counts = [[5, 10, 20, 40]] * 6 + [[3, 6, 9]] * 4
    observations = planted(-0.4, 0.0, [1.5] * CLASSES, counts)
    future = extrapolate(observations, [50] * 6 + [10] * 4, RARE, 0)
    observed = np.mean([one.accuracy for one in observations if one.label in RARE])
    assert future.model["slope"] == 0
    assert future.today == pytest.approx(observed, abs=0.005)
    assert future.gains[1].gain == 0
    models = fit_curves(observations, RARE, np.ones(CLASSES))
    assert plausibilities(models) == pytest.approx([0.2] * 5)  # without a slope bends are alike


def test_the_interval_of_a_class_is_of_resamples_that_have_it():
    changes, drawn = np.array([0.1] * 50 + [0.9] * 50), np.array([1.0, 2.0] * 25 + [0.0] * 50)
    assert class_interval(changes, drawn, 0.1) == pytest.approx((0.1, 0.1))
    assert class_interval(changes, drawn, 0.3) == pytest.approx((0.1, 0.3))  # holds the estimate
    assert class_interval(changes, drawn, 0.05) == pytest.approx((0.05, 0.1))
    assert class_interval(changes, np.zeros(100), 0.2) == (0.2, 0.2)


def test_an_odd_class_is_within_its_own_interval():
    counts = [[5, 10, 20, 40, 80]] * 6 + [[3, 6, 9]] * 4
    observations = planted(1.0, 0.0, [-1.0] * 6 + [-1.5] * 3 + [4.0], counts)
    future = extrapolate(observations, [100] * 6 + [10] * 4, RARE, 0)
    full = future.per_class[9]  # nearly all right today: nothing to gain
    assert full.low <= full.gain <= full.high < 0.05
    assert all(one.low <= one.gain <= one.high for one in future.per_class.values())
