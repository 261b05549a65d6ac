import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from tgn.metrics.neighbours import neighbour_radii
from tgn.metrics.precision_and_recall import neighbour_balls


def features(rows=60, seed=0, dimension=6):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, dimension, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_radii_equal_the_full_table(chunk_size):
    table = features(23)
    expected = torch.cdist(table, table).kthvalue(4).values  # each row is its own first neighbour
    torch.testing.assert_close(neighbour_radii(table, 3, chunk_size), expected)


@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_precision_and_recall_equal_torch_fidelity(chunk_size):
    x, y = features(50), features(60, seed=1) * 1.3 + 0.5
    found = neighbour_balls(x, y, k=3, chunk_size=chunk_size)
    expected = prc_features_to_metric(
        x, y, prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False, verbose=False
    )
    assert found.precision == pytest.approx(expected["precision"])
    assert found.recall == pytest.approx(expected["recall"])


def test_known_value():
    # k = 1: the real balls are [-1, 1], [0, 2] and [7, 13] around 0, 1 and 10 (radii 1, 1, 9).
    real = torch.tensor([[0.0], [1.0], [10.0]])
    generated = torch.tensor([[0.5], [30.0], [31.0]])
    found = neighbour_balls(generated, real, k=1)
    assert found.precision == pytest.approx(1 / 3)
    assert found.density == pytest.approx(2 / 3)  # 0.5 lies in two of the balls
    assert found.coverage == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1)  # the ball around 0.5 has radius 29.5


def test_equal_sets_cover_one_another():
    found = neighbour_balls(features(200), features(200))
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_dropped_modes_lower_recall_and_coverage():
    modes = torch.randint(4, (200,), generator=torch.Generator().manual_seed(2))
    offsets = 20.0 * torch.eye(6, dtype=torch.float64)[:4]
    real, generated = features(200) + offsets[modes], features(200, seed=1) + offsets[modes]
    whole = neighbour_balls(generated, real)
    dropped = neighbour_balls(generated[modes != 0], real)
    assert dropped.recall < whole.recall - 0.1
    assert dropped.coverage < whole.coverage - 0.1
    assert dropped.precision == pytest.approx(whole.precision, abs=0.1)


def test_noise_lowers_precision():
    clean = features(200, seed=1)
    values = [
        neighbour_balls(clean + s * features(200, seed=3), features(200)).precision
        for s in (0, 2, 6)
    ]
    assert values[0] > values[1] > values[2]


def test_too_few_rows():
    with pytest.raises(ValueError, match=r"\[1, 4\]"):
        neighbour_balls(features(5), features(60))
