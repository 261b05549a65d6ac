import pytest
import torch

from tgn.metrics.statistics import FeatureStatistics


def features(rows=40, dimension=5, seed=0):
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed))


def test_equals_torch():
    table = features()
    statistics = FeatureStatistics.of(table)
    assert statistics.count == 40
    torch.testing.assert_close(statistics.mean, table.double().mean(0))
    torch.testing.assert_close(statistics.covariance, table.double().T.cov())


def test_streaming_equals_one_go():
    table = features()
    streamed = FeatureStatistics(5)
    for part in table.split([1, 0, 7, 32]):
        streamed.update(part)
    whole = FeatureStatistics.of(table)
    torch.testing.assert_close(streamed.covariance, whole.covariance)
    torch.testing.assert_close(streamed.mean, whole.mean)


def test_merge_equals_one_go_and_leaves_the_other():
    table = features()
    left, right = FeatureStatistics.of(table[:11]), FeatureStatistics.of(table[11:])
    left.merge(right)
    left.merge(FeatureStatistics(5))
    whole = FeatureStatistics.of(table)
    assert (left.count, right.count) == (40, 29)
    torch.testing.assert_close(left.covariance, whole.covariance)


def test_a_large_offset_does_not_spoil_the_covariance():
    table = features().double()
    moved = FeatureStatistics(5)
    for part in (table + 1e8).split(8):
        moved.update(part)
    torch.testing.assert_close(moved.covariance, table.T.cov(), rtol=1e-6, atol=1e-6)


def test_wrong_input():
    statistics = FeatureStatistics(5)
    with pytest.raises(ValueError, match="D=4"):
        statistics.update(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="NaN"):
        statistics.update(torch.full((2, 5), torch.nan))
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        statistics.update(torch.zeros(5))
    with pytest.raises(ValueError, match="0 features"):
        _ = statistics.mean
    statistics.update(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="at least 2"):
        _ = statistics.covariance
    with pytest.raises(ValueError, match="merge"):
        statistics.merge(FeatureStatistics(3))
