import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import resnet18, squeezenet1_0

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models import extractors
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.extractors import apply_network, load_extractor
from tgn.models.settings import BackboneSettings
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings


@pytest.fixture(scope="module")
def cpu():
    return Device(ComputeSettings(device="cpu", precision="float32"))


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for file in files:
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(file)
    return ImageSet(files, [0] * 5, size=32)


def test_tail_net(tmp_path, images, cpu):
    net = build_backbone(BackboneSettings(size=16), ("a", "b"))
    save_classifier(tmp_path / "tail.safetensors", net)
    extractor = load_extractor("tail", tmp_path / "tail.safetensors")
    found = extractor.features(images, cpu, Silent())
    assert found.shape == (5, extractor.dimension) == (5, 128)
    assert found.dtype == torch.float32
    assert "16 px" in extractor.provenance.resize
    assert len(extractor.weights_sha256) == 64
    smaller = F.interpolate(
        to_pm1(images.batch(torch.arange(5))), (16, 16), mode="bilinear", antialias=True
    )
    expected = net.eval()(smaller).features.mean((2, 3))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(found, extractor.features(images, cpu, Silent()))


def test_classifier_file(tmp_path, images, cpu):
    path = tmp_path / "own.safetensors"
    save_classifier(path, build_backbone(BackboneSettings(size=16), ("a", "b")))
    tail = load_extractor("tail", path)
    for spec in (path, str(path)):
        extractor = load_extractor(spec)
        assert extractor.name == "classifier-tiny"
        assert extractor.weights_sha256 == tail.weights_sha256
        assert torch.equal(
            extractor.features(images, cpu, Silent()), tail.features(images, cpu, Silent())
        )


class Brightness(nn.Module):
    def forward(self, images_u8):
        return images_u8.float().mean(dim=(1, 2, 3))[:, None]


class OneOfTwo(Device):
    """One process of two, whose sums are its own part."""

    def __init__(self, rank, device):
        self.accelerator, self._rank = device.accelerator, rank

    rank = property(lambda self: self._rank)
    processes = property(lambda _: 2)

    def place(self, net):
        return net

    def total(self, values):
        return values


def test_processes_share_the_batches(images, cpu, monkeypatch):
    monkeypatch.setattr(extractors, "BATCH_SIZE", 2)
    whole = apply_network(Brightness(), images, cpu, Silent())
    parts = [apply_network(Brightness(), images, OneOfTwo(k, cpu), Silent()) for k in (0, 1)]
    assert torch.equal(parts[0] + parts[1], whole)
    assert [int((part == 0).sum()) for part in parts] == [2, 3]


def normalised_224(images):
    pixels = images.batch(torch.arange(len(images))).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    larger = F.interpolate(pixels, (224, 224), mode="bilinear", antialias=True)
    return (larger - mean.view(3, 1, 1)) / std.view(3, 1, 1)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_torchvision_net(tmp_path, images, cpu, suffix):
    net = resnet18(weights=None).eval()
    path = tmp_path / f"net{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(net.state_dict(), path)
    extractor = load_extractor(f"resnet18:{path}")
    assert extractor.dimension == 512
    net.fc = torch.nn.Identity()
    expected = net(normalised_224(images)).detach()
    found = extractor.features(images, cpu, Silent())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_timm_net_from_float16(tmp_path, images, cpu):
    net = timm.create_model("resnet10t", pretrained=False).eval().half()
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    extractor = load_extractor(f"resnet10t:{tmp_path / 'net.safetensors'}")
    found = extractor.features(images, cpu, Silent())
    assert found.dtype == torch.float32
    assert {p.dtype for p in extractor.network.parameters()} == {torch.float32}
    pooled = net.float().forward_features(torch.zeros(1, 3, 64, 64)).shape[1]
    assert found.shape == (5, pooled)


def test_the_same_name_in_both_libraries(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "net.pth")
    assert load_extractor(f"timm/resnet18:{tmp_path / 'net.pth'}").dimension == 512


def test_inception_equals_torch_fidelity(tmp_path, images, cpu):
    torch.save(random_inception_state(), tmp_path / "inception.pth")
    extractor = load_extractor(f"inception:{tmp_path / 'inception.pth'}")
    reference = FeatureExtractorInceptionV3("x", ["2048"], str(tmp_path / "inception.pth"))
    (expected,) = reference(images.batch(torch.arange(5)))
    assert extractor.dimension == 2048
    torch.testing.assert_close(
        extractor.features(images, cpu, Silent()), expected, rtol=1e-3, atol=1e-5
    )


def random_inception_state():
    """State of torch-fidelity's network with random weights, made without the file it wants."""
    captured = {}

    def keep_own(self, state):
        captured.update({k: v.clone() for k, v in self.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *args, **kwargs: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", keep_own)
        FeatureExtractorInceptionV3("x", ["2048"], "unused")
    return captured


def test_wrong_input(tmp_path):
    torch.save(resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"missing .*unknown .*conv1"):
        load_extractor(f"squeezenet1_0:{tmp_path / 'resnet18.pth'}")
    with pytest.raises(UserError, match="weights-inception-2015-12-05"):
        load_extractor(f"inception:{tmp_path / 'resnet18.pth'}")
    with pytest.raises(UserError, match="weights-inception-2015-12-05"):
        load_extractor(f"inception:{tmp_path / 'nothing.pth'}")
    with pytest.raises(UserError, match="no network of torchvision or timm"):
        load_extractor("nonsense:/weights.pth")
    with pytest.raises(UserError, match="NAME:FILE"):
        load_extractor("resnet50")
    with pytest.raises(UserError, match="got 'tail'.*there is no run.*NAME:FILE"):
        load_extractor("tail")
    with pytest.raises(NotFoundError, match="nowhere"):
        load_extractor("tail", tmp_path / "nowhere.safetensors")
    with pytest.raises(NotFoundError, match="nowhere.pth"):
        load_extractor(str(tmp_path / "nowhere.pth"))
    with pytest.raises(UserError, match=r"name its network: NAME:.*resnet18\.pth"):
        load_extractor(tmp_path / "resnet18.pth")


def test_shared_squeezenet(images, cpu):
    if "TGN_SHARED" not in os.environ:
        pytest.skip("TGN_SHARED is not set: no real weights here")
    path = Path(os.environ["TGN_SHARED"]) / "weights" / "squeezenet1_0_imagenet.safetensors"
    extractor = load_extractor(f"squeezenet1_0:{path}")
    assert extractor.dimension == 512
    net = squeezenet1_0(weights=None).eval()
    net.load_state_dict(load_file(path))
    expected = net.features(normalised_224(images)).mean((2, 3)).detach()
    found = extractor.features(images, cpu, Silent())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
