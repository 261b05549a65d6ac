import pytest
import torch

from tgn.metrics.memorisation import memorisation, memorisation_by_class
from tgn.metrics.neighbours import nearest_neighbours


def features(rows=50, seed=0):
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_neighbours_equal_the_full_table(chunk_size):
    queries, references = features(23).double(), features(31, seed=1).double()
    expected = torch.cdist(queries, references).min(dim=1)
    found = nearest_neighbours(queries, references, chunk_size=chunk_size)
    torch.testing.assert_close(found.distance, expected.values)
    assert torch.equal(found.index, expected.indices)


@pytest.mark.parametrize("chunk_size", [7, 1000])
def test_leave_one_out(chunk_size):
    table = features(23).double()
    between = torch.cdist(table, table).fill_diagonal_(torch.inf)
    found = nearest_neighbours(table, table, leave_one_out=True, chunk_size=chunk_size)
    torch.testing.assert_close(found.distance, between.min(dim=1).values)
    assert (found.index != torch.arange(23)).all()


def test_copies_raise_the_share():
    real, fresh = features(), features(40, seed=1)
    shares = [
        memorisation(torch.cat([real[:copies], fresh[copies:]]), real).share
        for copies in (0, 10, 40)
    ]
    assert shares[0] < 0.1
    assert shares[1] == pytest.approx(0.25, abs=0.1)
    assert shares[2] == 1


def test_a_copy_is_found_even_where_the_real_set_repeats_itself():
    real = torch.cat([features(), features()])
    result = memorisation(real[:3], real)
    assert result.threshold == 0
    assert result.share == 1
    assert torch.equal(result.neighbours.index % 50, torch.arange(3))


def test_scale_does_not_matter():
    real, generated = features(), 0.3 * features(20, seed=1)
    once, twice = memorisation(generated, real), memorisation(8 * generated, 8 * real)
    assert once.share == twice.share > 0
    assert twice.median_distance == pytest.approx(8 * once.median_distance)


def test_wrong_input():
    with pytest.raises(ValueError, match="no neighbour"):
        memorisation(features(), features(1))
    with pytest.raises(ValueError, match="no generated"):
        memorisation(features(0), features())
    with pytest.raises(ValueError, match="differ in D"):
        nearest_neighbours(features(), features()[:, :2])
    with pytest.raises(ValueError, match="itself"):
        nearest_neighbours(features(4), features(5), leave_one_out=True)


def test_every_class_has_a_threshold_of_its_own():
    """Real images of class 0 are 1 apart, of class 1 10 apart; class 2 has one image, 3 none."""
    real = torch.tensor([[0.0], [1.0], [2.0], [100.0], [110.0], [120.0], [500.0]])
    real_labels = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    generated = torch.tensor([[0.5], [5.0], [105.0], [135.0], [500.0], [7.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    found = memorisation_by_class(generated, labels, real, real_labels)
    assert found.is_copy.tolist() == [True, False, True, False, False, False]
    assert found.is_known.tolist() == [True, True, True, True, False, False]
    assert found.threshold[:4].tolist() == [1, 1, 10, 10]
    assert found.distance[:5].tolist() == [0.5, 3, 5, 15, 0]
    assert found.index.tolist()[1::2] == [2, 5, -1]
    assert found.real_distance[:6].tolist() == [1, 1, 1, 10, 10, 10]
    pooled = memorisation(generated[:4], real)
    assert pooled.is_copy.tolist() == [True, False, False, False]  # one threshold hides a copy
