"""The gain by left-out images, against fits made one by one."""

import pytest
import torch

from tgn.data.splits.folds import deal_out
from tgn.probe.gain import STATISTICS, Measured, ViewRows, gains, measure_gains, statistics
from tgn.probe.linear import LinearHead, shared_weights
from tgn.probe.ridge import ridge_head
from tgn.probe.settings import GENERATED_SHARE

PENALTY, CLASSES, VIEWS, DIMENSION = 1e-2, 4, 2, 5
CENTRES = torch.eye(CLASSES, DIMENSION).double()


def images(counts, seed, noise=0.6, centres=CENTRES):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    rng = torch.Generator().manual_seed(seed)
    own = centres[labels] + noise * torch.randn(
        len(labels), DIMENSION, generator=rng, dtype=torch.float64
    )
    views = 0.05 * torch.randn(len(labels), VIEWS, DIMENSION, generator=rng, dtype=torch.float64)
    return ViewRows(own[:, None] + views, labels)


def refitted(real, generated):
    """Return the head that the probe fits to real images, with generated ones at its share."""
    rows = ViewRows(*(torch.cat(pair) for pair in zip(real, generated, strict=True)))
    weights = shared_weights(real.labels, generated.labels, CLASSES, GENERATED_SHARE)
    each = [part.repeat_interleave(VIEWS) for part in (rows.labels, weights)]
    return ridge_head(rows.rows.flatten(0, 1), *each, CLASSES, PENALTY)


@pytest.mark.parametrize("unknown", [False, True])
def test_changes_are_those_of_fits_made_one_by_one(unknown):
    real, generated = images([12, 9, 6, 3], 0), images([0, 0, 8, 5], 1)
    folds = deal_out(real.labels, 3, 0)
    rng = torch.Generator().manual_seed(2)
    made_from = torch.stack([torch.randint(21, 30, (13,), generator=rng) for _ in range(2)], 1)
    made_from[0, 1] = -1
    if unknown:
        made_from[:] = -1
    found = measure_gains(real, generated, made_from, folds, PENALTY)
    assert found.classes.tolist() == [2, 3]
    sums, squares = torch.zeros(2, CLASSES, 3, len(STATISTICS), dtype=torch.float64)
    counts = torch.zeros(CLASSES, 3)
    for row in range(30):  # every image by fits of its own
        fold = int(folds[row])
        kept = real.at(folds != fold)
        seen = [any(int(folds[s]) == fold for s in own if s >= 0) for own in made_from.tolist()]
        usable = generated.at(~torch.tensor(seen))
        tested = real.at(torch.tensor([row]))
        before = statistics(refitted(kept, usable.at(usable.labels < 0)), tested)[0]
        label = int(tested.labels)
        for column, chosen in enumerate(([2], [3], [2, 3])):
            added = usable.at(torch.isin(usable.labels, torch.tensor(chosen)))
            if chosen == [label] and len(added.labels) == 0:
                continue
            change = statistics(refitted(kept, added), tested)[0] - before
            sums[label, column] += change
            squares[label, column] += change.square()
            counts[label, column] += 1
    torch.testing.assert_close(found.sums, sums)
    torch.testing.assert_close(found.squares, squares)
    torch.testing.assert_close(found.counts, counts.double())


def test_statistics_by_hand():
    head = LinearHead(torch.eye(3).double(), torch.zeros(3).double())
    rows = torch.tensor([[[0.8, 0.0, 0.2], [0.4, 0.0, 0.0]], [[0.0, 0.5, 0.5], [0.0, 0.1, 0.5]]])
    found = statistics(head, ViewRows(rows.double(), torch.tensor([0, 1])))
    expected = [[1, 0.5, -(0.16 + 0.01)], [0, -0.2, -(0.49 + 0.25)]]
    torch.testing.assert_close(found, torch.tensor(expected).double())


def test_gains_by_hand():
    """Two classes, the second drawn: own changes 1 and 0, others -0.5 twice; one statistic."""
    one = torch.zeros(2, 2, len(STATISTICS), dtype=torch.float64)
    sums, squares = one.clone(), one.clone()
    sums[..., 0] = torch.tensor([[-1.0, -1.0], [1.0, 2.0]])
    squares[..., 0] = torch.tensor([[0.5, 0.5], [1.0, 2.0]])
    counts = torch.full((2, 2), 2.0, dtype=torch.float64)
    found = gains(Measured(torch.tensor([1]), sums, squares, counts), "right")
    assert found.value.tolist() == [0.5 - 0.5]
    assert found.variance.tolist() == pytest.approx([0.5 / 2])
    assert (found.pooled, found.pooled_variance) == pytest.approx((1 - 0.5, 0))
    counts[1, 0] = 0
    assert gains(Measured(torch.tensor([1]), sums, squares, counts), "right").variance.isinf()


def test_images_of_the_class_help_it_and_images_of_another_do_not():
    real = images([60, 60, 60, 6], 0)
    folds, unknown = deal_out(real.labels, 10, 0), torch.full((60, 1), -1)
    good = images([0, 0, 0, 60], 1)
    bad = images([0, 0, 0, 60], 1, centres=CENTRES[[0, 1, 2, 0]])
    for statistic in ("margin", "error"):  # 0/1 accuracy moves in steps, here in none
        ours = gains(measure_gains(real, good, unknown, folds, PENALTY), statistic)
        theirs = gains(measure_gains(real, bad, unknown, folds, PENALTY), statistic)
        assert float(theirs.value) < 0 < float(ours.value)
        assert ours.pooled == pytest.approx(float(ours.value))
