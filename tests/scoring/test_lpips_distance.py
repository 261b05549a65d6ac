import warnings

import lpips
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import alexnet, squeezenet1_0, squeezenet1_1

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.runtime.errors import NotFoundError, UserError
from tgn.scoring.lpips_distance import load_lpips

NETS = {"alex": alexnet, "squeeze": squeezenet1_1}


@pytest.fixture
def images_u8():
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (5, 3, 32, 32), generator=rng, dtype=torch.uint8)


def saved_backbone(name, folder, suffix):
    backbone = NETS[name](weights=None)
    path = folder / f"backbone{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(backbone.state_dict(), path)
    return backbone, path


class MemoryImages(ImageSet):
    def __init__(self, images_u8):
        super().__init__([None] * len(images_u8), [0] * len(images_u8), images_u8.shape[-1])
        self._cache = images_u8


@pytest.mark.parametrize(("name", "suffix"), [("squeeze", ".safetensors"), ("alex", ".pth")])
def test_equals_the_lpips_package(name, suffix, tmp_path, images_u8, capsys, monkeypatch):
    backbone, path = saved_backbone(name, tmp_path, suffix)
    found = load_lpips(f"{name}:{path}").distance(images_u8[:4], images_u8[1:])
    assert capsys.readouterr().out == ""
    # The package itself, given the same backbone in place of the one it would download.
    builder = {"alex": "alexnet", "squeeze": "squeezenet1_1"}[name]
    monkeypatch.setattr(f"lpips.pretrained_networks.tv.{builder}", lambda pretrained: backbone)
    reference = lpips.LPIPS(net=name, verbose=False)
    expected = reference(to_pm1(images_u8[:4]), to_pm1(images_u8[1:])).flatten()
    torch.testing.assert_close(found, expected.detach())
    assert (found > 0).all()


def test_diversity_of_a_set(tmp_path, images_u8):
    _, path = saved_backbone("squeeze", tmp_path, ".pth")
    network = load_lpips(f"squeeze:{path}")
    assert len(network.weights_sha256) == 64
    first, second = torch.triu_indices(5, 5, 1)
    expected = network.distance(images_u8[first], images_u8[second]).mean()
    found = network.pair_distances(MemoryImages(images_u8), torch.arange(5), seed=0).mean
    assert found == pytest.approx(float(expected), rel=1e-4)
    collapsed = MemoryImages(images_u8[:1].repeat(6, 1, 1, 1))
    assert network.pair_distances(collapsed, torch.arange(6), seed=0).mean == pytest.approx(
        0, abs=1e-6
    )


def test_one_band_counts_as_grey(tmp_path, images_u8):
    _, path = saved_backbone("squeeze", tmp_path, ".pth")
    network = load_lpips(f"squeeze:{path}")
    grey = images_u8[:, :1]
    torch.testing.assert_close(
        network.distance(grey[:2], grey[2:4]),
        network.distance(grey[:2].repeat(1, 3, 1, 1), grey[2:4].repeat(1, 3, 1, 1)),
    )


def test_wrong_input(tmp_path):
    torch.save(squeezenet1_0(weights=None).state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="squeezenet1_1"):
        load_lpips(f"squeeze:{tmp_path / 'other.pth'}")
    with pytest.raises(UserError, match="alex:FILE"):
        load_lpips("resnet:/weights.pth")
    with pytest.raises(UserError, match="expected one of"):
        load_lpips("alex")
    with pytest.raises(NotFoundError, match="nothing"):
        load_lpips(f"alex:{tmp_path / 'nothing.pth'}")


def test_building_is_silent(tmp_path):
    _, path = saved_backbone("squeeze", tmp_path, ".pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_lpips(f"squeeze:{path}")
