import pytest
import torch

from tgn.generation.cdtg.discriminator import Discriminator, minibatch_deviation
from tgn.generation.cdtg.presets import architecture, build_discriminator, build_fusion

CHANNELS = {4: 12, 8: 10, 16: 8}


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator(32, 3, CHANNELS)


def batch(size=4):
    random = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 32, 32, generator=random)
    return images, torch.arange(size) % 3


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 8])
def test_any_batch_size(discriminator, size):
    assert discriminator(*batch(size)).shape == (size,)


def test_deviation_of_known_values():
    x = torch.stack((torch.zeros(2, 3, 3), torch.full((2, 3, 3), 2.0)))
    out = minibatch_deviation(x)
    assert out.shape == (2, 3, 3, 3)
    torch.testing.assert_close(out[:, 2], torch.ones(2, 3, 3))
    assert minibatch_deviation(x[:1])[:, 2].max() < 1e-3


def test_deviation_mixes_within_groups_only():
    x = torch.randn(8, 2, 3, 3)
    changed = x.clone()
    changed[0] += 5
    moved = (minibatch_deviation(changed)[:, 2] != minibatch_deviation(x)[:, 2]).any((1, 2))
    assert moved.sum() == 4


def test_equal_images_score_lower_deviation(discriminator):
    x = torch.randn(1, 4, 4, 4).repeat(4, 1, 1, 1)
    assert (
        minibatch_deviation(x)[:, 4].max()
        < minibatch_deviation(torch.randn(4, 4, 4, 4))[0, 4, 0, 0]
    )


def test_logit_is_linear_plus_projection(discriminator):
    images, labels = batch()
    base = discriminator(images, labels)
    with torch.no_grad():
        hidden = discriminator._hidden(images)
        shift = torch.randn(12)
        discriminator.label_embedding.weight[1] += shift
    change = discriminator(images, labels) - base
    expected = torch.where(labels == 1, hidden @ shift / 12**0.5, torch.zeros(4))
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=1e-4)


def test_the_class_matters(discriminator):
    images, labels = batch()
    base = discriminator(images, labels)
    assert (discriminator(images, (labels + 1) % 3) - base).abs().min() > 1e-5


def test_r1_reaches_every_parameter_that_shapes_the_slope(discriminator):
    images, labels = batch()
    images.requires_grad_()
    logits = discriminator(images, labels)
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    slope.square().sum(dim=(1, 2, 3)).mean().backward()
    weights = [(n, p) for n, p in discriminator.named_parameters() if n.endswith("weight")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for _, p in weights)


def test_r1_works_in_bfloat16_channels_last(discriminator):
    images, labels = batch()
    full = discriminator(images, labels)
    discriminator.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        logits = discriminator(images, labels)
        (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    assert logits.dtype == torch.float32
    assert (logits - full).abs().max() < 0.1 * full.abs().max() + 0.05
    slope.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in discriminator.parameters() if p.grad is not None)


def test_gradcheck_to_second_order():
    small = Discriminator(16, 2, {4: 2, 8: 2}, image_channels=1).double()
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1])
    assert torch.autograd.gradcheck(lambda x: small(x, labels), images)
    assert torch.autograd.gradgradcheck(lambda x: small(x, labels).sum(), images)


def test_a_few_steps_separate_two_kinds_of_images(discriminator):
    images, labels = batch(8)
    images[4:] = images[4:].cumsum(-1).tanh()
    sign = torch.tensor([1.0] * 4 + [-1.0] * 4)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.softplus(-sign * discriminator(images, labels)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_presets_fit_together():
    arch = architecture("tiny")
    images, labels = batch(2)
    assert build_discriminator(arch, 3)(images, labels).shape == (2,)
    z, grid = build_fusion(arch, 6)(
        torch.randn(2, 6, 1, 1),
        torch.zeros(2, arch.style_dim),
        torch.zeros(2, arch.grid_channels, arch.grid_size, arch.grid_size),
        torch.zeros(2),
    )
    assert z.shape == (2, 128)
    assert grid.shape == (2, 32, 8, 8)


def test_wrong_input_is_refused(discriminator):
    images, labels = batch()
    with pytest.raises(ValueError, match="images must be"):
        discriminator(images[:, :, :16, :16], labels)
