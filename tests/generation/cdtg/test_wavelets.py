import pytest
import torch

from tgn.generation.cdtg.wavelets import haar, inverse_haar


def test_haar_of_a_known_block():
    block = torch.tensor([[1.0, 2.0], [3.0, 6.0]])[None, None]
    # Half the sums: mean, first row minus second, first column minus second, diagonal.
    assert haar(block).flatten().tolist() == [6.0, -3.0, -2.0, 1.0]


def test_bands_are_band_major():
    images = torch.zeros(1, 3, 4, 4)
    images[:, 1] = 1.0
    bands = haar(images)
    assert bands.shape == (1, 12, 2, 2)
    assert bands.abs().sum(dim=(0, 2, 3)).nonzero().flatten().tolist() == [1]


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 2, 6)])
def test_round_trip_and_energy(shape):
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    bands = haar(images)
    torch.testing.assert_close(inverse_haar(bands), images, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(bands.square().sum(), images.square().sum())


def test_both_are_differentiable_twice():
    images = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    bands = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(haar, images)
    assert torch.autograd.gradgradcheck(haar, images)
    assert torch.autograd.gradcheck(inverse_haar, bands)
    assert torch.autograd.gradgradcheck(inverse_haar, bands)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="even"):
        haar(torch.zeros(1, 3, 5, 4))
    with pytest.raises(ValueError, match="4C"):
        inverse_haar(torch.zeros(1, 6, 4, 4))
