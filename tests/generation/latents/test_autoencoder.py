"""The autoencoder: its shapes and scale, and its training."""

import pytest
import torch
from tests_support import QUICK

from tgn.data.runs import Run
from tgn.generation.latents.autoencoder import (
    Autoencoder,
    AutoencoderFacts,
    load_autoencoder,
    save_autoencoder,
)
from tgn.generation.latents.train import trained_autoencoder
from tgn.runtime.checkpoints import save_weights
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json_lines
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings, LoopSettings
from tgn.runtime.training_loop import Job

FACTS = AutoencoderFacts(32, 3)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_latents_have_one_size_and_second_moment_1(size):
    network = Autoencoder(AutoencoderFacts(size, 1)).eval()
    images = torch.rand(2, 1, size, size) * 2 - 1
    latents = network.encode(images)
    assert latents.shape == (2, size // 4, 16, 16)
    torch.testing.assert_close(latents.square().mean((1, 2, 3)), torch.ones(2), rtol=1e-3, atol=0)
    assert network.decode(latents).shape == images.shape


def test_it_is_read_as_it_was_written(tmp_path):
    network = Autoencoder(FACTS).eval()
    save_autoencoder(tmp_path / "a.safetensors", network, "steps=1")
    read, training = load_autoencoder(tmp_path / "a.safetensors")
    assert training == "steps=1"
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(read.encode(images), network.encode(images))
    assert not any(weight.requires_grad for weight in read.parameters())
    save_weights(tmp_path / "b.safetensors", network.state_dict(), {"format": "other"})
    with pytest.raises(UserError, match="'other', expected 'tgn-autoencoder-1'"):
        load_autoencoder(tmp_path / "b.safetensors")


def trained(run: Run, steps: int, seed: int = 0, resume: bool = True) -> Autoencoder:
    job = Job(run.diffusion, Device(ComputeSettings(**QUICK)), Silent(), resume)
    loop = LoopSettings(steps=steps, seed=seed, log_every=1)
    return trained_autoencoder(run, FACTS, loop, job)


def test_it_learns_to_reconstruct_and_is_trained_once(fake_run):
    trained(fake_run, 30)
    rows = [*read_json_lines(fake_run.latents / "metrics.jsonl")]
    assert rows[-1]["pixels"] < 0.6 * rows[0]["pixels"]
    assert "adversarial" not in rows[0]
    assert {"adversarial", "discriminator"} <= rows[-1].keys()
    written = fake_run.autoencoder.stat().st_mtime_ns
    trained(fake_run, 30)
    assert fake_run.autoencoder.stat().st_mtime_ns == written
    before = fake_run.autoencoder.read_bytes()
    with pytest.raises(UserError, match="seed"):
        trained(fake_run, 2, seed=1)
    trained(fake_run, 2, seed=1, resume=False)
    assert fake_run.autoencoder.read_bytes() != before
