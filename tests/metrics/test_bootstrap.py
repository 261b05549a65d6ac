"""Means over resamples, and how much of them is in memory at once."""

import pytest
import torch

from tgn.metrics import bootstrap
from tgn.metrics.bootstrap import NUM_RESAMPLES, mean_interval, resampled_means


@pytest.mark.parametrize("block", [bootstrap.BLOCK, 60_000])
def test_means_vary_as_the_standard_error_in_any_number_of_blocks(monkeypatch, block):
    sizes, plain = [], bootstrap.resampling_counts

    def counted(*given):
        sizes.append(plain(*given).numel())
        return plain(*given)

    monkeypatch.setattr(bootstrap, "BLOCK", block)
    monkeypatch.setattr(bootstrap, "resampling_counts", counted)
    values = torch.arange(200).double()
    found = resampled_means(torch.stack([values, 2 * values], dim=1), seed=0)
    assert found.shape == (NUM_RESAMPLES, 2)
    torch.testing.assert_close(found[:, 1], 2 * found[:, 0])  # the same images in both columns
    error = float(values.std(correction=0)) / 200**0.5
    assert float(found[:, 0].mean()) == pytest.approx(99.5, abs=4 * error / NUM_RESAMPLES**0.5)
    assert float(found[:, 0].std()) == pytest.approx(error, rel=0.1)
    assert max(sizes) <= 1.2 * block
    interval = mean_interval(values, seed=0)
    assert (interval.low, interval.high) == pytest.approx(
        (99.5 - 1.96 * error, 99.5 + 1.96 * error), abs=0.5 * error
    )
