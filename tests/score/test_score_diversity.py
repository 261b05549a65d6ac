import pytest
import torch

from tgn.score.diversity import mean_feature_distance, sample_pairs


def features(rows=30, seed=0):
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


def test_every_pair_of_a_small_set():
    table = features(10)
    assert mean_feature_distance(table, seed=0) == pytest.approx(
        float(torch.pdist(table).mean()), rel=1e-6
    )


def test_random_pairs_of_a_large_set():
    table = features(300)
    estimate = mean_feature_distance(table, seed=0, max_pairs=5000)
    assert estimate == pytest.approx(float(torch.pdist(table).mean()), rel=0.03)
    assert estimate == mean_feature_distance(table, seed=0, max_pairs=5000)
    assert estimate != mean_feature_distance(table, seed=1, max_pairs=5000)


@pytest.mark.parametrize("max_pairs", [7, 10_000])
def test_pairs_are_never_a_row_with_itself(max_pairs):
    first, second = sample_pairs(9, max_pairs, seed=0)
    assert len(first) == min(max_pairs, 36)
    assert (first != second).all()
    assert max(first.max(), second.max()) < 9


def test_collapsed_set_has_none_and_scale_is_linear():
    real = features()
    assert mean_feature_distance(real[:1].expand(20, -1), seed=0) == 0
    assert mean_feature_distance(0.5 * real, seed=0) == pytest.approx(
        0.5 * mean_feature_distance(real, seed=0)
    )


def test_wrong_input():
    with pytest.raises(ValueError, match="1 rows"):
        mean_feature_distance(features(1), seed=0)
    with pytest.raises(ValueError, match="0 pairs"):
        sample_pairs(5, 0, seed=0)
