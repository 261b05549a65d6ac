import pytest
import torch
from torch.nn import functional as F

from tgn.generation.cdtg.wavelets import haar
from tgn.metrics.separability import separability
from tgn.metrics.spectrum import difference_energies, energy_ratio


def normal(rows, seed, dimension=64):
    return torch.randn(rows, dimension, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dimension", [16, 600])  # of both forms of the solution
def test_two_samples_of_one_distribution_cannot_be_told_apart(dimension):
    labels = torch.arange(400) % 4
    first, second = (normal(400, seed, dimension) + labels[:, None] for seed in (1, 2))
    found = separability(first, second, (labels, labels), seed=0)
    assert len(found.correct) == 800
    assert found.accuracy == pytest.approx(0.5, abs=0.06)


def test_shifted_sets_are_told_apart():
    labels = torch.zeros(200, dtype=torch.int64)
    shifted = normal(200, 2)
    shifted[:, 3] += 4
    assert separability(normal(200, 1), shifted, (labels, labels), 0).accuracy > 0.95


def test_another_mixture_of_classes_gives_nothing_away():
    first, second = torch.arange(400) % 2, (torch.arange(400) % 10 == 0).long()
    found = separability(
        normal(400, 1) + 5 * first[:, None], normal(400, 2) + 5 * second[:, None],
        (first, second), seed=0,
    )  # fmt: skip
    assert len(found.correct) == 2 * (200 + 40)
    assert found.accuracy == pytest.approx(0.5, abs=0.1)


def test_too_few_images_of_common_classes():
    labels = torch.zeros(20, dtype=torch.int64)
    assert separability(normal(20, 1), normal(20, 2), (labels, labels + 1), 0) is None
    with pytest.raises(ValueError, match="NaN"):
        separability(normal(20, 1) / 0, normal(20, 2), (labels, labels), 0)


def test_images_of_one_source_are_not_told_by_their_source():
    labels, sources = torch.arange(200) % 4, torch.arange(200) % 20
    first = normal(20, 1)[sources] + 0.1 * normal(200, 2)
    second = normal(200, 3)
    pair = (labels, labels)
    assert separability(first, second, pair, 0).accuracy > 0.8
    assert separability(first, second, pair, 0, sources).accuracy < 0.65
    unknown = torch.full_like(sources, -1)
    alone = separability(first, second, pair, 0)
    assert torch.equal(separability(first, second, pair, 0, unknown).correct, alone.correct)
    assert separability(first, second, pair, 0, sources % 4) is None


def test_energies_are_those_of_the_haar_bands():
    images = torch.randint(256, (3, 2, 16, 24), dtype=torch.uint8)
    expected, low = [], images.double()
    for _ in range(3):
        low, *differences = haar(low).chunk(4, dim=1)
        expected.append(torch.cat(differences, 1).square().sum((1, 2, 3)) / (2 * 16 * 24))
    torch.testing.assert_close(difference_energies(images), torch.stack(expected, 1))


def test_one_scale_alone():
    """Stripes of one, two and four pixels have all their energy in one scale."""
    for scale in range(3):
        stripes = (torch.arange(16) // 2**scale % 2 * 20 + 100).byte()
        energies = difference_energies(stripes.expand(1, 3, 16, 16))
        assert energies[0, scale] == pytest.approx(100)
        assert energies.sum() == pytest.approx(100)
    cut = difference_energies(F.pad(stripes.expand(1, 3, 16, 16), (0, 5, 0, 5)))
    torch.testing.assert_close(cut, energies)
    with pytest.raises(ValueError, match="8 px or more"):
        difference_energies(torch.zeros(1, 3, 4, 16, dtype=torch.uint8))


def test_blurred_images_lack_the_finest_bands():
    sharp = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    blurred = F.avg_pool2d(sharp.float(), 3, 1, 1).byte()
    labels = torch.arange(8) % 2
    ratio = energy_ratio(difference_energies(blurred), difference_energies(sharp), labels, labels)
    assert ratio[0] < 0.2
    assert ratio[0] < ratio[1] < ratio[2]


def test_ratios_are_taken_at_equal_shares_of_the_classes():
    energies = torch.tensor([[1.0], [1.0], [9.0]])
    real = torch.tensor([[2.0], [18.0], [18.0], [18.0]])
    ratio = energy_ratio(energies, real, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1, 1]))
    torch.testing.assert_close(ratio, torch.tensor([0.5]))
    assert energy_ratio(energies, real, torch.tensor([4, 4, 4]), torch.zeros(4)) is None
