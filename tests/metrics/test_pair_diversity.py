import pytest
import torch

from tgn.metrics.bootstrap import percentile_interval
from tgn.metrics.pair_diversity import feature_pair_distances, sample_pairs


def features(rows=30, seed=0):
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def test_every_pair_of_a_small_set():
    table = features(10)
    assert feature_pair_distances(table, seed=0).mean == pytest.approx(
        float(torch.pdist(table).mean()), rel=1e-6
    )


def test_random_pairs_of_a_large_set():
    table = features(300)
    estimate = feature_pair_distances(table, seed=0, max_pairs=5000).mean
    assert estimate == pytest.approx(float(torch.pdist(table).mean()), rel=0.03)
    assert estimate == feature_pair_distances(table, seed=0, max_pairs=5000).mean
    assert estimate != feature_pair_distances(table, seed=1, max_pairs=5000).mean


@pytest.mark.parametrize("max_pairs", [7, 10_000])
def test_pairs_are_never_a_row_with_itself(max_pairs):
    first, second = sample_pairs(9, max_pairs, seed=0)
    assert len(first) == min(max_pairs, 36)
    assert (first != second).all()
    assert max(first.max(), second.max()) < 9


def test_collapsed_set_has_none_and_scale_is_linear():
    real = features()
    assert feature_pair_distances(real[:1].expand(20, -1), seed=0).mean == 0
    assert feature_pair_distances(0.5 * real, seed=0).mean == pytest.approx(
        0.5 * feature_pair_distances(real, seed=0).mean
    )


def test_interval_covers_the_truth_and_shrinks():
    rng = torch.Generator().manual_seed(5)
    truth = feature_pair_distances(torch.randn(3000, 6, generator=rng), seed=0).mean
    widths = []
    for rows in (20, 80):
        hits = 0
        for trial in range(30):
            pairs = feature_pair_distances(torch.randn(rows, 6, generator=rng), seed=trial)
            interval = percentile_interval(pairs.resampled_means(trial))
            hits += interval.low <= truth <= interval.high
        widths.append(interval.high - interval.low)
        assert hits >= 23
    assert widths[1] < 0.7 * widths[0]


def test_wrong_input():
    with pytest.raises(ValueError, match="1 rows"):
        feature_pair_distances(features(1), seed=0)
    with pytest.raises(ValueError, match="0 pairs"):
        sample_pairs(5, 0, seed=0)
