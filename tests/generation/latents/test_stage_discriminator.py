"""The projected discriminator: its losses, what it learns, and what class and condition add."""

import pytest
import torch
from torch import Tensor

from tgn.generation.stage_discriminator import (
    StageDiscriminator,
    generator_loss,
    hinge_loss,
)

CHANNELS = (4, 8)
SIDES = (4, 2)
CLASSES, CONDITION = 3, 5


def stages(count: int = 6, offset: float | Tensor = 0.0) -> list[Tensor]:
    """Return random features; ``offset`` is added to the first channel of each image."""
    offset = torch.as_tensor(offset).expand(count).view(-1, 1, 1)
    made = [torch.randn(count, d, h, h) for d, h in zip(CHANNELS, SIDES, strict=True)]
    for stage in made:
        stage[:, 0] += offset
    return made


def fit(network: StageDiscriminator, step, steps: int = 60) -> float:
    """Minimise what ``step`` returns; return its last value."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-2)
    for _ in range(steps):
        loss = step()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def mean_logits(logits: list[Tensor]) -> Tensor:
    """Return the mean over places and stages of each image, [B]."""
    return torch.stack([each.mean((1, 2, 3)) for each in logits]).mean(0)


def test_losses_by_hand():
    real, fake = [torch.tensor([2.0, 0.0])], [torch.tensor([-3.0, 0.5])]
    assert hinge_loss(real, fake).item() == pytest.approx((0 + 1) / 2 + (0 + 1.5) / 2)
    assert generator_loss(fake).item() == pytest.approx(1.25)
    twice = hinge_loss(real * 2, fake * 2)
    torch.testing.assert_close(twice, hinge_loss(real, fake))


def test_gradients_of_the_losses():
    given = [torch.randn(2, 1, side, side, dtype=torch.float64) for side in (3, 2)]
    real, fake = ([each.clone().requires_grad_() for each in given] for _ in range(2))
    assert torch.autograd.gradcheck(lambda *x: hinge_loss(x[:2], x[2:]), (*real, *fake))
    assert torch.autograd.gradcheck(lambda *x: generator_loss(x), tuple(fake))


def test_it_judges_every_place_of_every_stage():
    network = StageDiscriminator(CHANNELS)
    assert [each.shape for each in network(stages())] == [(6, 1, 4, 4), (6, 1, 2, 2)]


def test_it_learns_another_texture_and_not_the_scale():
    network = StageDiscriminator(CHANNELS)
    loss = fit(
        network, lambda: hinge_loss(network(stages(16, 2.0)), network(stages(16, -2.0))), steps=40
    )
    assert loss < 0.8
    network.eval()  # in training each pass refines the spectral norms
    given = stages(16, 2.0)
    longer = [7 * stage for stage in given]
    for ours, theirs in zip(network(given), network(longer), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_class_starts_without_a_say_and_gets_one():
    network, given = StageDiscriminator(CHANNELS, CLASSES).eval(), stages()
    first, second = (network(given, torch.full((6,), label)) for label in (0, 2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    generator_loss(first).backward()
    for head in network.heads:
        assert head.of_class.weight.grad[0].any()
        assert not head.of_class.weight.grad[1:].any()


def test_it_learns_which_class_an_image_is_of():
    """Real are images of their own class; generated ones look like another: alike without it."""
    network, labels = StageDiscriminator(CHANNELS, 2), torch.arange(16) % 2
    looks = 4.0 * labels - 2

    def step():
        real, fake = network(stages(16, looks), labels), network(stages(16, -looks), labels)
        return hinge_loss(real, fake)

    assert fit(network, step) < 1.2  # 2 is a guess
    given = stages(16, looks)
    own, other = (mean_logits(network(given, each)) for each in (labels, 1 - labels))
    assert (own > other).float().mean() > 0.9
    blind = StageDiscriminator(CHANNELS)

    def guess():
        return hinge_loss(blind(stages(16, looks)), blind(stages(16, -looks)))

    assert fit(blind, guess) > 1.7


def test_the_condition_has_a_say_of_its_own_image():
    network, given = StageDiscriminator(CHANNELS, CLASSES, CONDITION).eval(), stages()
    labels, condition = torch.arange(6) % CLASSES, torch.randn(6, CONDITION)
    before = network(given, labels, condition)
    changed = condition.clone()
    changed[2] += 1
    for ours, theirs in zip(before, network(given, labels, changed), strict=True):
        differs = (ours - theirs).flatten(1).abs().amax(1) > 1e-4
        assert differs.tolist() == [False, False, True, False, False, False]


def test_it_learns_what_goes_with_a_condition():
    """Real images look as their condition says, generated ones the other way round."""
    network = StageDiscriminator(CHANNELS, 0, 1)

    def step():
        says = torch.randn(16, 1).sign()
        looks = 2 * says.flatten()
        real = network(stages(16, looks), None, says)
        return hinge_loss(real, network(stages(16, -looks), None, says))

    assert fit(network, step) < 1.6  # 2 is a guess


def test_gradient_reaches_features_class_and_condition():
    network = StageDiscriminator(CHANNELS, CLASSES, CONDITION)
    given = [stage.requires_grad_() for stage in stages()]
    condition = torch.randn(6, CONDITION, requires_grad=True)
    generator_loss(network(given, torch.arange(6) % CLASSES, condition)).backward()
    for value in (*given, condition):
        assert value.grad.isfinite().all()
        assert (value.grad.flatten(1).abs().sum(1) > 0).all()
    assert all(weight.grad is not None for weight in network.parameters())


def test_layers_have_spectral_norm_1_whatever_the_weights():
    network = StageDiscriminator(CHANNELS, 0, CONDITION)
    layers = [
        layer
        for head in network.heads
        for layer in (head.hidden[0], head.hidden[2], head.to_logits, head.of_condition)
    ]
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(100)
    network(stages(), None, torch.randn(6, CONDITION))
    network.eval()
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert largest == pytest.approx(1, abs=0.1)
