"""Closed forms of the probe against explicit computations in numpy."""

import numpy as np
import pytest
import torch

from tgn.models.classifier_layers import normalised_parts
from tgn.probe.fit import GeneratedViews, RealViews, fit_probe, generated_rows
from tgn.probe.linear import (
    LinearHead,
    balanced_weights,
    best_scale,
    prototypes,
    shared_weights,
    softmax_regression,
)
from tgn.probe.ridge import fit_ridge, ridge_head

CLASSES, DIMENSION = 3, 6


@pytest.fixture(params=[DIMENSION, 40], ids=["more rows", "more features"])
def rows(request):
    """Return features, labels, weights and groups of 24 rows: groups of 1, 2 and 4 rows."""
    rng = torch.Generator().manual_seed(1)
    groups = torch.tensor(
        [0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5, 6, 6, 7, 7, 8, 9, 9, 10, 11, 11]
    )
    labels = groups % CLASSES
    features = torch.randn(24, request.param, generator=rng, dtype=torch.float64) + labels[:, None]
    weights = torch.rand(24, generator=rng, dtype=torch.float64) + 0.5
    return features, labels, weights, groups


def solve(features, labels, weights, penalty):
    """Return the coefficients [D + 1, C] of weighted ridge by its normal equations, in numpy."""
    x = np.hstack([features.numpy(), np.ones((len(features), 1))])
    y = np.eye(CLASSES)[labels.numpy()]
    w = weights.numpy()[:, None]
    return np.linalg.solve(x.T @ (w * x) + penalty * np.eye(x.shape[1]), x.T @ (w * y))


def test_ridge_solves_the_weighted_normal_equations(rows):
    features, labels, weights, groups = rows
    fit = fit_ridge(features, labels, weights, groups, CLASSES, (0.1,))
    expected = solve(features, labels, weights, 0.1 * len(features))
    found = np.vstack([fit.head.weight.T.numpy(), fit.head.bias.numpy()])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_leaving_groups_out_in_closed_form_equals_fitting_without_them(rows):
    features, labels, weights, groups = rows
    fit = fit_ridge(features, labels, weights, groups, CLASSES, (0.05,))
    for group in groups.unique():
        out, kept = groups == group, groups != group
        # lambda N stays that of all rows: the objective without the group's terms
        without = solve(features[kept], labels[kept], weights[kept], 0.05 * len(features))
        x = np.hstack([features[out].numpy(), np.ones((int(out.sum()), 1))])
        np.testing.assert_allclose(fit.left_out[out].numpy(), x @ without, atol=1e-8)


def test_ridge_takes_the_penalty_with_the_smallest_weighted_error_left_out(rows):
    features, labels, weights, groups = rows
    penalties = (1e-4, 1e-2, 1.0)
    fit = fit_ridge(features, labels, weights, groups, CLASSES, penalties)
    errors = {}
    for penalty in penalties:
        left_out = fit_ridge(features, labels, weights, groups, CLASSES, (penalty,)).left_out
        squared = (torch.eye(CLASSES)[labels] - left_out).square().sum(1)
        errors[penalty] = float((weights * squared).sum() / weights.sum())
    assert fit.errors == pytest.approx(errors)
    assert fit.penalty == min(errors, key=errors.get)


def test_a_weight_of_two_is_the_row_twice(rows):
    features, labels, _, groups = rows
    weights = torch.where(torch.arange(24) < 9, 2.0, 1.0).double()
    repeated = torch.arange(24).repeat_interleave(weights.long())
    penalty = 0.1
    fit = fit_ridge(features, labels, weights, groups, CLASSES, (penalty * 33 / 24,))
    other = fit_ridge(
        features[repeated],
        labels[repeated],
        torch.ones(33, dtype=torch.float64),
        groups[repeated],
        CLASSES,
        (penalty,),
    )
    torch.testing.assert_close(fit.head.weight, other.head.weight)
    torch.testing.assert_close(fit.left_out[repeated], other.left_out)


def test_balanced_weights_give_every_class_the_same_sum_and_the_mean_one():
    labels = torch.tensor([0, 0, 0, 0, 2, 2, 3])
    weights = balanced_weights(labels, 4)
    sums = torch.zeros(4, dtype=torch.float64).index_add_(0, labels, weights)
    expected = torch.tensor([7 / 3, 0, 7 / 3, 7 / 3], dtype=torch.float64)
    torch.testing.assert_close(sums, expected)
    assert float(weights.mean()) == pytest.approx(1)


def test_prototypes_choose_the_nearest_class_mean():
    rng = torch.Generator().manual_seed(2)
    labels = torch.arange(30) % CLASSES
    features = torch.randn(30, DIMENSION, generator=rng) + 2 * torch.eye(DIMENSION)[labels]
    means = torch.stack([features[labels == k].mean(0) for k in range(CLASSES)])
    found = prototypes(features, labels, CLASSES).scores(features)
    assert torch.equal(found.argmax(1), torch.cdist(features, means).argmin(1))


def test_softmax_regression_is_where_the_gradient_vanishes():
    rng = torch.Generator().manual_seed(3)
    labels = torch.arange(30) % CLASSES
    features = torch.randn(30, DIMENSION, generator=rng, dtype=torch.float64)
    weights = torch.rand(30, generator=rng, dtype=torch.float64) + 0.5
    head = softmax_regression(features, labels, weights, CLASSES, 0.1)
    share = weights / weights.sum()
    wrong = head.scores(features).softmax(1) - torch.eye(CLASSES)[labels]
    gradient = (share[:, None] * wrong).T @ features + 0.1 * head.weight
    assert float(gradient.abs().max()) < 1e-4
    assert float((share[:, None] * wrong).sum(0).abs().max()) < 1e-4


def test_the_scale_makes_scores_the_logits_they_were():
    rng = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(20000, CLASSES, generator=rng)
    labels = logits.softmax(1).multinomial(1, generator=rng).flatten()
    found = best_scale(logits / 10, labels, torch.ones(len(labels)))
    assert found == pytest.approx(10, rel=0.13)  # the grid's step is 12%


@pytest.mark.parametrize("head", ["ridge", "prototypes", "softmax", "ensemble"])
def test_every_head_classifies_separated_classes_also_left_out(head):
    rng = torch.Generator().manual_seed(5)
    labels = torch.tensor([0] * 20 + [1] * 8 + [2] * 4)
    centres = 3 * torch.eye(CLASSES, DIMENSION)[labels]
    tables = [
        centres[:, None] + 0.3 * torch.randn(32, 5, DIMENSION, generator=rng) for _ in range(2)
    ]
    fitted = fit_probe(RealViews(tables, labels), [(4, 2)] * 2, CLASSES, head, symmetries=3)
    assert torch.equal(fitted.scores([table[:, :3] for table in tables]).argmax(1), labels)
    assert torch.equal(fitted.left_out.argmax(1), labels)


def test_prototypes_left_out_equal_class_means_without_the_image():
    rng = torch.Generator().manual_seed(6)
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    table = torch.randn(6, 4, DIMENSION, generator=rng)
    fitted = fit_probe(RealViews([table], labels), [(6,)], CLASSES, "prototypes", symmetries=4)
    features = normalised_parts(table, table.mean((0, 1)), (6,)).mean(1)
    for row in range(6):
        kept = torch.arange(6) != row
        head: LinearHead = prototypes(features[kept], labels[kept], CLASSES)
        expected = fitted.scale * head.scores(features[row])
        torch.testing.assert_close(fitted.left_out[row], expected)


@pytest.mark.parametrize("head", ["ridge", "prototypes"])
def test_images_of_a_group_are_left_out_together(head):
    """Also of the means of the other classes in the group."""
    rng = torch.Generator().manual_seed(6)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    groups = torch.tensor([3, 3, 5, 6, 3, 7, 8, 9, 9])
    table = torch.randn(9, 4, DIMENSION, generator=rng)
    real = RealViews([table], labels, groups)
    fitted = fit_probe(real, [(6,)], CLASSES, head, symmetries=4)
    features = normalised_parts(table, table.mean((0, 1)), (6,))
    for row in range(9):
        kept = groups != groups[row]
        each = labels[kept].repeat_interleave(4)
        rows = features[kept].flatten(0, 1)
        if head == "prototypes":
            fit = prototypes(rows, each, CLASSES)
        else:  # rows weigh as in the fit to all, and the penalty is for as many
            weights = balanced_weights(labels, CLASSES)[kept].repeat_interleave(4)
            fit = ridge_head(rows, each, weights, CLASSES, fitted.penalty * 36 / len(rows))
        expected = fitted.scale * fit.scores(features[row].mean(0))
        torch.testing.assert_close(fitted.left_out[row], expected, rtol=1e-3, atol=1e-4)


def test_generated_rows_weigh_their_share_of_a_class_and_classes_weigh_the_same():
    real, generated = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([1, 1, 1])
    weights = shared_weights(real, generated, 3, 0.5)  # 3 of 5 images: 0.3 of the class
    expected = torch.tensor([1 / 4] * 4 + [0.35] * 2 + [0.1] * 3, dtype=torch.float64) * 4.5
    torch.testing.assert_close(weights, expected)


def test_generated_images_of_classes_with_few_real_ones_are_used():
    real = torch.tensor([0] * 20 + [1] * 19 + [2])
    generated = torch.tensor([0, 1, 2, 0, 1])
    assert generated_rows(generated, real).tolist() == [1, 2, 4]
    assert generated_rows(generated, real, below=21).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("head", ["ridge", "prototypes", "softmax", "ensemble"])
def test_copies_as_generated_images_change_no_probe(head):
    rng = torch.Generator().manual_seed(7)
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 4)
    table = torch.randn(22, 3, DIMENSION, generator=rng) + labels[:, None, None]
    generated = GeneratedViews([table], labels, 0.25)
    alone, beside = (
        fit_probe(RealViews([table], labels), [(6,)], CLASSES, head, 2, given)
        for given in (None, generated)
    )
    torch.testing.assert_close(beside.scores([table]), alone.scores([table]), atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize("head", ["ridge", "prototypes", "softmax", "ensemble"])
def test_generated_images_of_a_class_move_its_scores_and_choose_nothing(head):
    rng = torch.Generator().manual_seed(8)
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 4)
    table = (
        torch.randn(22, 3, DIMENSION, generator=rng) + 3 * torch.eye(3, DIMENSION)[labels][:, None]
    )
    strange = torch.zeros(9, 3, DIMENSION)
    strange[..., -1] = 5.0
    generated = GeneratedViews([strange], torch.full((9,), 2), 0.25)
    alone, beside = (
        fit_probe(RealViews([table], labels), [(6,)], CLASSES, head, 2, given)
        for given in (None, generated)
    )
    gain = (beside.scores([strange]) - alone.scores([strange])).mean(0)
    assert float(gain[2]) > float(gain[:2].max())
    assert (beside.penalty, beside.scale) == (alone.penalty, alone.scale)
    assert torch.equal(beside.left_out, alone.left_out)


def test_an_ensemble_is_the_mean_of_the_log_probabilities_of_its_heads():
    rng = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 4)
    features = torch.randn(22, 2, 8, generator=rng) + labels[:, None, None]
    found, ridge, prototype = (
        fit_probe(RealViews([features], labels), [(8,)], 3, head, 2)
        for head in ("ensemble", "ridge", "prototypes")
    )
    mean = torch.stack([each.scores([features]).log_softmax(1) for each in (ridge, prototype)])
    expected = (found.scale * mean.mean(0)).log_softmax(1)
    torch.testing.assert_close(found.scores([features]).log_softmax(1), expected)
    left_out = torch.stack([ridge.left_out, prototype.left_out]).mean(0)
    torch.testing.assert_close(found.left_out, found.scale * left_out)
    assert found.penalty == ridge.penalty
