import torch

from tgn.probe.balanced_ridge import BalancedRidge, LeaveRowsOut
from tgn.probe.judge_classifier import fit_judge_classifier
from tgn.probe.linear import balanced_weights
from tgn.probe.ridge import fit_ridge

PENALTY = 1e-2


def table(rows=40, classes=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=rng)
    labels[:classes] = torch.arange(classes)
    features = torch.randn(rows, 6, generator=rng) + labels[:, None]
    centred = (features - features.mean(0)).double()
    return torch.nn.functional.normalize(centred, dim=1), labels


def test_the_judge_takes_features_that_are_centred_and_of_unit_length():
    features = torch.tensor([[4.0, 6.0], [-2.0, -2.0], [1.0, 4.0], [1.0, 0.0]])
    judge = fit_judge_classifier(features, torch.tensor([0, 1, 0, 1]), 2)
    expected = torch.tensor([[0.6, 0.8], [-0.6, -0.8], [0, 1], [0, -1]], dtype=torch.float64)
    torch.testing.assert_close(judge.rows(features), expected)


def test_it_is_the_probe_with_balanced_weights():
    rows, labels = table()
    expected = fit_ridge(
        rows, labels, balanced_weights(labels, 4), torch.arange(40), 4, (PENALTY,)
    ).head
    none = rows[:0], labels[:0]
    found = BalancedRidge(rows, labels, 4, PENALTY, torch.tensor([2, 3])).fit(*none)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found, LeaveRowsOut.of(rows, labels, 4, PENALTY).head)


def test_added_rows_count_as_rows_of_their_class():
    rows, labels = table()
    more, more_labels = table(15, seed=1)
    grows = more_labels >= 2
    more, more_labels = more[grows], more_labels[grows]
    found = BalancedRidge(rows, labels, 4, PENALTY, torch.tensor([2, 3])).fit(more, more_labels)
    together = torch.cat([rows, more]), torch.cat([labels, more_labels])
    torch.testing.assert_close(found, LeaveRowsOut.of(*together, 4, PENALTY).head)


def test_rows_left_out_have_never_been_seen():
    """The closed form equals a fit in which the rows have no weight."""
    rows, labels = table()
    queries, _ = table(5, seed=2)
    fit = LeaveRowsOut.of(rows, labels, 4, PENALTY)
    left_out = torch.tensor([[7, -1, -1], [-1, -1, -1], [0, 5, 39], [-1, 39, 2], [7, 8, -1]])
    found = fit.scores(queries, left_out)
    weights = 1 / (4 * torch.bincount(labels)[labels].double())
    for k, out in enumerate(left_out.tolist()):
        own = weights.clone()
        own[[row for row in out if row >= 0]] = 0
        x = torch.nn.functional.pad(rows, (0, 1), value=1)
        matrix = (x * own[:, None]).T @ x + PENALTY * torch.eye(7, dtype=torch.float64)
        right = (x * own[:, None]).T @ torch.nn.functional.one_hot(labels, 4).double()
        query = torch.nn.functional.pad(queries[k], (0, 1), value=1)
        torch.testing.assert_close(found[k], query @ torch.linalg.solve(matrix, right))
