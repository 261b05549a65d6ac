"""ST-LPIPS against numbers of the package's own code, which was run once beside it."""

from dataclasses import replace

import pytest
import torch

from tgn.models.pretrained import PERCEPTUAL, file_of
from tgn.runtime.errors import UserError
from tgn.scoring.lpips_distance import SMALLEST_SIDE, load_lpips

# stlpips_pytorch 0.0.2, LPIPS(net=..., variant="shift_tolerant"): noise, a wave moved by a pixel,
# and a wave with its negative.
EXPECTED = {
    "st-alex": ((0.0452181, 0.0637337, 0.0821692, 0.0669563), 0.0019989, 0.0293376),
    "st-vgg": ((0.0613238, 0.0699354, 0.0685974, 0.0730792), 0.0100347, 0.0946499),
}


@pytest.fixture(params=EXPECTED)
def distance(request):
    try:
        file_of(PERCEPTUAL[request.param])
    except UserError as error:
        pytest.skip(str(error))
    return load_lpips(request.param)


def noise(side=32):
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (5, 3, side, side), generator=rng, dtype=torch.uint8)


def wave():
    steps = torch.arange(3 * 64 * 80, dtype=torch.float64).reshape(1, 3, 64, 80)
    return (torch.sin(steps * 0.37) * 127.5 + 127.5).to(torch.uint8)


def test_equals_the_package(distance):
    of_noise, of_shift, of_negative = EXPECTED[distance.setting]
    found = distance.distance(noise()[:4], noise()[1:])
    torch.testing.assert_close(found, torch.tensor(of_noise), rtol=1e-4, atol=1e-6)
    image = wave()
    assert distance.distance(image, image.roll(1, 3)).item() == pytest.approx(of_shift, rel=1e-3)
    assert distance.distance(image, 255 - image).item() == pytest.approx(of_negative, rel=1e-3)
    assert distance.distance(image, image).item() == 0


def test_its_own_name_and_the_file_are_recorded(distance):
    assert distance.provenance.name == f"ST-LPIPS {distance.setting[3:]}"
    assert distance.provenance.weights_sha256 == PERCEPTUAL[distance.setting].sha256


def test_the_smallest_side_is_the_smallest_that_works(distance):
    side = SMALLEST_SIDE[distance.setting]
    distance.check_side(side)
    images = noise(side)
    assert (distance.distance(images[:1], images[1:2]) > 0).all()
    with pytest.raises(UserError, match=f"got images of {side - 1} px, expected at least {side}"):
        distance.check_side(side - 1)
    with pytest.raises(RuntimeError):
        distance.distance(images[:1, :, 1:, 1:], images[1:2, :, 1:, 1:])


def test_a_missing_package_names_the_extra(monkeypatch):
    entry = replace(PERCEPTUAL["st-alex"], module="no_such_module")
    monkeypatch.setitem(PERCEPTUAL, "st-alex", entry)
    with pytest.raises(UserError, match=r"st-alex are not installed.*tgn\[perceptual\].*alex:FILE"):
        load_lpips("st-alex")


def test_a_file_beside_the_name_is_refused():
    with pytest.raises(UserError, match="expected one of alex:FILE.*st-alex, st-vgg"):
        load_lpips("st-alex:weights.pth")
