"""One step of an optimiser, against hand-worked numbers."""

import pytest
import torch

from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.settings import ComputeSettings

DEVICE = Device(ComputeSettings(device="cpu"))


@pytest.fixture
def weights():
    """Two parameters at (3, 4) and 0; the loss below has the gradients (3, 4) and 12 there."""
    return [torch.tensor([3.0, 4.0], requires_grad=True), torch.zeros(1, requires_grad=True)]


def loss_of(weights):
    return 0.5 * weights[0].square().sum() + 12 * weights[1].sum()


def test_gradients_of_earlier_steps_are_forgotten(weights):
    optimizer = torch.optim.SGD(weights, lr=0.5)
    (100 * loss_of(weights)).backward()
    optimise(loss_of(weights), optimizer, DEVICE)
    assert weights[0].tolist() == [1.5, 2.0]
    assert weights[1].tolist() == [-6.0]


def test_the_rate_of_a_step_and_the_clipped_norm(weights):
    optimizer = torch.optim.SGD([{"params": weights[:1]}, {"params": weights[1:]}], lr=0.5)
    optimise(loss_of(weights), optimizer, DEVICE, lr=1.0, max_grad_norm=6.5)  # half of 13
    torch.testing.assert_close(weights[0].detach(), torch.tensor([1.5, 2.0]))
    torch.testing.assert_close(weights[1].detach(), torch.tensor([-6.0]))
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]


def test_gradients_are_averaged_before_they_are_clipped(weights, monkeypatch):
    calls = []

    def average(_, parameters):
        for one in parameters:
            calls.append(one.grad.clone())
            one.grad *= 2

    monkeypatch.setattr(Device, "average_gradients", average)
    optimise(loss_of(weights), torch.optim.SGD(weights, 1.0), DEVICE, max_grad_norm=13.0)
    assert [call.tolist() for call in calls] == [[3.0, 4.0], [12.0]]
    torch.testing.assert_close(weights[0].detach(), torch.zeros(2), atol=1e-5, rtol=0)
