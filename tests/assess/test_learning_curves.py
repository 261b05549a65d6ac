"""Refits, thinning and the extrapolation, on features and curves whose truth is known."""

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from tgn.assess.curve_model import FLAT, SPREAD, fit_curves, plausibilities, stretched
from tgn.assess.extrapolation import class_interval, extrapolate
from tgn.assess.learning_curve import Observation, levels, measure_curves
from tgn.assess.refits import Refitter, class_folds
from tgn.probe.linear import LinearHead, balanced_weights
from tgn.probe.principal_components import principal_basis
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
    torch.testing.assert_close(found.weight, expected.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.bias, expected.bias, rtol=1e-4, atol=1e-5)


def test_principal_directions_keep_all_products_where_all_are_kept():
    table = torch.randn(6, 20, generator=torch.Generator().manual_seed(5))
    reduced = table.double() @ principal_basis(table, 10)
    assert reduced.shape == (6, 6)
    torch.testing.assert_close(reduced @ reduced.T, table.double() @ table.double().T)


def test_images_are_judged_a_batch_at_a_time(monkeypatch):
    features, labels = draw([8] * CLASSES, 1)
    refitter, rows = Refitter.of(features, labels, CLASSES), torch.arange(0, len(labels), 2)
    expected = refitter.head(rows).scores(refitter.features).argmax(1) == labels
    real, sizes = LinearHead.scores, []
    monkeypatch.setattr("tgn.assess.refits.CHUNK_ROWS", 7)
    monkeypatch.setattr(LinearHead, "scores", lambda s, x: sizes.append(len(x)) or real(s, x))
    assert torch.equal(refitter.are_right(rows), expected)
    assert max(sizes) == 7


def test_folds_deal_every_class_out_evenly_and_leave_single_images_in():
    labels = torch.tensor([0] * 20 + [1] * 7 + [2])
    folds = class_folds(labels, 10, 0)
    assert torch.bincount(folds[:20]).tolist() == [2] * 10
    assert len(set(folds[20:27].tolist())) == 7
    assert int(folds[27]) == -1
    assert not torch.equal(folds, class_folds(labels, 10, 1))
    pairs = class_folds(labels, 10, 0, torch.arange(28) // 2)
    assert torch.equal(pairs[:20:2], pairs[1:20:2])


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


class FirstRareOnly(NamedTuple):
    """Stands for a refitter: class 6 is always told, no other ever."""

    labels: torch.Tensor
    classes: int = CLASSES
    groups: torch.Tensor | None = None

    def are_right(self, rows):
        return self.labels == RARE[0]


def test_all_points_of_the_measured_curve_are_of_the_same_classes():
    labels = torch.arange(CLASSES).repeat_interleave(torch.tensor([20] * 6 + [2, 8, 8, 8]))
    _, shares = measure_curves(FirstRareOnly(labels), RARE, 2, 0, Silent())
    assert shares == {0.25: 0, 0.5: 0, 0.75: 0, 1.0: 0}  # class 6 has nothing left out at 75%


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


def test_the_model_is_where_its_penalised_likelihood_is_highest():
    counts = [[5, 10, 20, 40]] * 6 + [[3, 6, 9]] * 4
    observations = planted(1.0, 0.0, np.linspace(-2, 1, CLASSES), counts, images=9.0)
    labels = np.array([one.label for one in observations])
    logs = np.log([one.num_images for one in observations])
    shares = np.array([one.accuracy for one in observations])
    trials = 9 / np.sqrt(np.bincount(labels)[labels])
    group = np.isin(np.arange(CLASSES), RARE).astype(int)

    def loss(point):
        logits = point[labels] + point[CLASSES:-1][group[labels]] + point[-1] * logs
        penalty = np.r_[np.full(CLASSES, 1 / SPREAD**2), [FLAT] * 3]
        likelihood = shares * logits - np.logaddexp(0, logits)
        return (penalty * point**2).sum() / 2 - (trials * likelihood).sum()

    best = minimize(loss, np.zeros(CLASSES + 3), method="BFGS", options={"gtol": 1e-6})
    model = fit_curves(observations, RARE, np.ones(CLASSES))[0]
    assert model.loss == pytest.approx(best.fun, abs=1e-6)
    assert model.slope == pytest.approx(best.x[-1], abs=1e-3)
    intercepts = best.x[:CLASSES] + best.x[CLASSES:-1][group]
    np.testing.assert_allclose(model.intercepts, intercepts, atol=1e-3)


def test_a_thousand_classes_take_no_matrix_of_classes_by_classes():
    classes = 1000
    observations = planted(1.0, 0.0, [-1.0] * classes, [[4, 8, 16]] * classes)
    tracemalloc.start()
    fit_curves(observations, range(500, classes), np.ones(classes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * classes**2 / 2  # half of one such matrix


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
