"""Diffusion: the network, its schedule, its guidance, and the stage from training to sampling."""

from types import SimpleNamespace

import pytest
import torch
from generation_support import assert_order_does_not_matter, distill_anew, generate_tail
from tests_support import QUICK, Stops, copied_run

from tgn.backends import trained_backend
from tgn.data.manifest import read_manifest
from tgn.generation.diffusion.denoiser import (
    Conditioning,
    Denoiser,
    DenoiserFacts,
    load_denoiser,
    save_denoiser,
)
from tgn.generation.diffusion.guidance import apply_guidance, tail_net_loss
from tgn.generation.diffusion.reverse_process import (
    ReverseProcess,
    _expected_image,
    sample_images,
)
from tgn.generation.diffusion.sampler import open_diffusion_sampler
from tgn.generation.diffusion.schedule import ddim, dpm, image_from_velocity, min_snr_weight
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.diffusion.train import train_diffusion
from tgn.generation.diffusion.trainer import _noise_levels, transfer_loss
from tgn.generation.feature_noise import VARIATIONS
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import FrozenTailNet
from tgn.models.training_networks import TrainingNetwork, from_header
from tgn.runtime.checkpoints import read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent

FACTS = DenoiserFacts(size=32, bands=3, width=16, num_classes=4, feature_channels=6, grid_size=2)


def denoiser(**changes) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(FACTS._replace(**changes)).eval()


def source(count: int, level: float, seed: int = 0) -> Conditioning:
    draw = torch.Generator().manual_seed(seed)
    shape = (count, FACTS.feature_channels, 2, 2)
    features, noise = (torch.randn(shape, generator=draw) for _ in range(2))
    return Conditioning(features, noise, torch.full((count,), level))


def sample(net: Denoiser, given: Conditioning, labels: torch.Tensor, **changes) -> torch.Tensor:
    noise = torch.randn(len(labels), 3, 32, 32, generator=torch.Generator().manual_seed(1))
    process = ReverseProcess(DiffusionSampleSettings(sampling_steps=4, device="cpu", **changes))
    return sample_images(net, noise, given, labels, process, torch.no_grad)


@pytest.mark.parametrize("prediction_type", ["image", "velocity"])
@pytest.mark.parametrize(
    ("size", "bands", "patch", "levels"), [(32, 3, 4, 2), (64, 1, 4, 3), (128, 3, 8, 3)]
)
def test_an_image_of_every_size(size, bands, patch, levels, prediction_type):
    net = denoiser(size=size, bands=bands, prediction_type=prediction_type)
    assert (net.facts.patch, net.facts.levels) == (patch, levels)
    images, times = torch.randn(2, bands, size, size), torch.tensor([3, 900])
    found = net(images, times, source(2, 0.5), torch.tensor([0, net.null_class]))
    assert found.shape == images.shape
    assert found.dtype == torch.float32


def test_conditioning_noise_removes_the_features():
    net = denoiser()
    net.fit(3 + 2 * torch.randn(64, 6, 2, 2), torch.arange(64) % 4, torch.rand(4, 3, 32, 32))
    first, second = source(2, 1.0), source(2, 1.0, seed=9)
    other = Conditioning(second.features, first.noise, first.noise_level)
    # Nothing of the features is left at noise level 1, and nothing of the noise at level 0.
    assert torch.equal(net._estimated_features(first), net._estimated_features(other))
    near = [Conditioning(s.features, first.noise, torch.zeros(2)) for s in (first, second)]
    assert not torch.equal(net._estimated_features(near[0]), net._estimated_features(near[1]))
    noisy = [Conditioning(first.features, s.noise, torch.zeros(2)) for s in (first, second)]
    assert torch.equal(net._estimated_features(noisy[0]), net._estimated_features(noisy[1]))


def test_the_network_reads_the_best_linear_estimate_of_the_features():
    net = denoiser()
    features = 3 + 2 * torch.randn(500, 6, 2, 2)
    net.fit(features, torch.arange(500) % 4, torch.rand(4, 3, 32, 32))
    standard = (features - net.mean) / net.std
    for level in (0.0, 0.3, 0.7, 1.0):
        given = Conditioning(features, torch.randn(500, 6, 2, 2), torch.full((500,), level))
        estimate = net._estimated_features(given)
        error = (estimate - standard).square().mean().item()
        assert error == pytest.approx(level**2, abs=0.03)
        for factor in (0.9, 1.1):
            assert (factor * estimate - standard).square().mean().item() >= error


def test_the_ratio_goes_from_the_source_to_its_class():
    net, labels = denoiser(), torch.arange(40) % 4
    features = labels.view(-1, 1, 1, 1) + 0.1 * torch.randn(40, 6, 2, 2)
    net.fit(features, labels, torch.rand(4, 3, 32, 32))
    noise = torch.randn(40, VARIATIONS)
    near, half, far = (
        net.interpolate_features(features, labels, noise, r) for r in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(near, features)
    torch.testing.assert_close(half, (near + far) / 2)
    torch.testing.assert_close(
        far, net.interpolate_features(features.flip(0) * 0, labels, noise, 1.0)
    )
    assert (far.mean((1, 2, 3)) - labels).abs().max() < 0.3
    assert (far - far[4]).abs().sum((1, 2, 3))[0] > 0  # two of a class differ


def test_encoded_images_have_mean_0_and_variance_1():
    net, images = denoiser(), 0.3 + 0.2 * torch.randn(50, 3, 32, 32)
    net.fit(torch.randn(10, 6, 2, 2), torch.arange(10) % 4, images)
    encoded = net.encode(images)
    assert encoded.mean().item() == pytest.approx(0, abs=1e-4)
    assert encoded.std().item() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(net.decode(encoded), images)


def test_the_image_follows_from_the_velocity():
    schedule, draw = ddim(), torch.Generator().manual_seed(0)
    images, noise = (torch.randn(5, 3, 8, 8, generator=draw) for _ in range(2))
    times = torch.tensor([0, 50, 400, 700, 999])
    noisy = schedule.add_noise(images, noise, times)
    velocity = schedule.get_velocity(images, noise, times)
    signal = schedule.alphas_cumprod[times].view(-1, 1, 1, 1)
    torch.testing.assert_close(
        image_from_velocity(noisy, velocity, signal), images, atol=1e-5, rtol=1e-5
    )


def test_a_network_of_velocities_returns_the_image(monkeypatch):
    net, given = denoiser(prediction_type="velocity"), source(2, 0.5)
    noisy, times = torch.randn(2, 3, 32, 32), torch.tensor([100, 800])
    output = torch.randn(2, 48, 8, 8)
    monkeypatch.setattr(net.unet, "forward", lambda *_, **__: SimpleNamespace(sample=output))
    found = net(noisy, times, given, torch.tensor([0, 1]))
    signal = ddim().alphas_cumprod[times].view(-1, 1, 1, 1)
    expected = image_from_velocity(noisy, torch.nn.functional.pixel_shuffle(output, 4), signal)
    torch.testing.assert_close(found, expected)


def test_min_snr_weight():
    signal = torch.tensor([0.5, 0.75, 0.99, 0.01])
    torch.testing.assert_close(min_snr_weight(signal, 5.0), torch.tensor([1.0, 3.0, 5.0, 1.0]))


def test_transfer_loss_pulls_both_ways_and_most_where_there_is_most_noise():
    own = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    other = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    loss = transfer_loss(own, other, torch.tensor([1.0, 0.5, 0.01]))
    loss.backward()
    torch.testing.assert_close(other.grad.norm(), own.grad.norm() / 4)
    sizes = own.grad.flatten(1).norm(dim=1)
    assert sizes[0] == 0
    assert sizes[1] < sizes[2]
    assert transfer_loss(own, own, torch.full((3,), 0.5)) == 0


def test_training_covers_all_noise_levels_and_often_has_no_source():
    levels = _noise_levels(torch.linspace(0, 1, 1001))
    assert levels.min() == 0
    assert (levels == 1).float().mean().item() == pytest.approx(0.13, abs=0.01)
    between = torch.histc(levels[levels < 1], 10, 0, 1)
    assert (between > 0).all()
    assert between[0] > between[-1]


class Perfect(torch.nn.Module):
    """Knows the image under the noise: one colour a class, grey where no class is given."""

    null_class = 4
    facts = FACTS

    def decode(self, images):
        return images

    def forward(self, noisy, _times, _source, labels):
        return ((labels.float() / 4 - 0.5) * (labels < 4)).view(-1, 1, 1, 1).expand_as(noisy)


@pytest.mark.parametrize("sampler", ["dpm++", "ddim"])
@pytest.mark.parametrize("steps", [4, 12])
def test_samplers_converge_to_what_the_network_predicts(sampler, steps):
    labels = torch.tensor([0, 1, 3])
    noise = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    settings = DiffusionSampleSettings(
        sampler=sampler, sampling_steps=steps, guidance=1.0, device="cpu"
    )
    found = sample_images(
        Perfect(), noise, source(3, 0.5), labels, ReverseProcess(settings), torch.no_grad
    )  # fmt: skip
    expected = (labels / 4 - 0.5).view(3, 1, 1, 1).expand_as(found)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_schedules_of_both_samplers_are_one():
    torch.testing.assert_close(ddim().alphas_cumprod, dpm().alphas_cumprod)


def test_guidance_goes_from_no_class_to_the_class_and_beyond():
    net, given, labels = denoiser(), source(2, 0.5), torch.tensor([0, 3])
    x, times = torch.randn(2, 3, 32, 32), torch.tensor([500, 500])
    nothing = Conditioning(given.features, given.noise, torch.ones(2))
    with torch.no_grad():
        with_class = net(x, times, given, labels)
        without = net(x, times, nothing, torch.full((2,), net.null_class))
        found = _expected_image(net, x, times, given, labels, 3.0)
    torch.testing.assert_close(found, without + 3 * (with_class - without), atol=1e-4, rtol=1e-3)


def test_guidance_changes_images():
    net, given, labels = denoiser(), source(2, 0.5), torch.tensor([0, 3])
    plain, guided = (sample(net, given, labels, guidance=g) for g in (1.0, 4.0))
    assert not torch.equal(plain, guided)


def test_guidance_lowers_the_loss_of_the_tail_net(distilled):
    frozen_tail_net = FrozenTailNet(load_classifier(tail_net_file(distilled.kmdn)))
    loss_of, labels = tail_net_loss(frozen_tail_net), torch.tensor([0, 1, 2, 3])
    images = 0.1 * torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        moved = apply_guidance(images, labels, [(1.0, loss_of)], noise=1.0)
        assert (loss_of(moved, labels) < loss_of(images, labels)).all()
        torch.testing.assert_close(apply_guidance(images, labels, [(1.0, loss_of)], 0.0), images)
    size = (moved - images).square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(size, torch.full((4,), 0.05))


def test_a_denoiser_is_read_as_it_was_written(tmp_path):
    net = denoiser()
    net.fit(torch.randn(10, 6, 2, 2), torch.arange(10) % 4, torch.rand(4, 3, 32, 32))
    save_denoiser(tmp_path / "x.safetensors", net, "abc")
    read, tail = load_denoiser(tmp_path / "x.safetensors")
    assert tail == "abc"
    given, labels = source(2, 0.3), torch.tensor([0, 1])
    images, times = torch.randn(2, 3, 32, 32), torch.tensor([10, 700])
    expected = net(images, times, given, labels)
    torch.testing.assert_close(read(images, times, given, labels), expected)
    with pytest.raises(NotFoundError, match="tgn train --backend diffusion"):
        load_denoiser(tmp_path / "y.safetensors")
    save_weights(tmp_path / "old.safetensors", net.state_dict(), {"format": "tgn-diffusion-1"})
    with pytest.raises(UserError, match="tgn-diffusion-1.*--no-resume"):
        load_denoiser(tmp_path / "old.safetensors")


def settings(**changes) -> DiffusionTrainSettings:
    small = {"width": 16, "batch_size": 8, "steps": 4, "log_every": 1, "grid_every": 100}
    return DiffusionTrainSettings.model_validate({**QUICK, **small, **changes})


def test_training_goes_on_where_it_stopped(distilled):
    file = distilled.denoiser
    train_diffusion(distilled, settings(), Silent())
    straight = file.read_bytes()
    tail_net = distilled.path / "kmdn" / "tail.safetensors"
    assert from_header(read_metadata(file)) == (TrainingNetwork("tail net", sha256_of(tail_net)),)
    assert list((distilled.path / "diffusion" / "grids").glob("*.png"))
    with pytest.raises(KeyboardInterrupt):
        train_diffusion(distilled, settings(), Stops(2), resume=False)
    train_diffusion(distilled, settings(), Silent())
    assert file.read_bytes() == straight


@pytest.fixture(scope="module")
def made_trained(made_distilled, tmp_path_factory):
    """Make once what ``trained`` copies, here with a diffusion model."""
    made = tmp_path_factory.mktemp("diffusion")
    train_diffusion(copied_run(made_distilled, made), settings(steps=1), Silent())
    return made


def generated(run, out, n, classes=None, **changes):
    chosen = DiffusionSampleSettings.model_validate(
        {**QUICK, "n": n, "block": 4, "sampling_steps": 2, **changes}
    )
    return generate_tail(run, out, chosen, classes)


def test_generation_is_exact_in_number_and_bytes_whatever_the_order(trained, tmp_path):
    assert_order_does_not_matter(generated, trained, tmp_path, 6)
    with pytest.raises(UserError, match="other weights"):
        generated(trained, tmp_path / "a", 6, noise=0.9)
    with pytest.raises(UserError, match="or settings"):
        generated(trained, tmp_path / "a", 7, guidance=3.0)


def test_guided_images_are_others(trained, tmp_path):
    label = tuple(trained.split().tail_classes)[:1]
    generated(trained, tmp_path / "plain", 2, label)
    generated(trained, tmp_path / "guided", 2, label, tail_guidance=1.0)
    shas = [[row.sha256 for row in read_manifest(tmp_path / name)] for name in ("plain", "guided")]
    assert shas[0] != shas[1]
    with pytest.raises(UserError, match="clip_guidance needs a CLIP"):
        open_diffusion_sampler(trained, DiffusionSampleSettings(clip_guidance=1.0, **QUICK))


def test_a_denoiser_of_another_tail_net_is_refused(trained):
    distill_anew(trained)
    with pytest.raises(UserError, match="another tail net.*--backend diffusion --no-resume"):
        open_diffusion_sampler(trained, DiffusionSampleSettings(**QUICK))
    with pytest.raises(UserError, match="tail_net_sha256 differ.*--no-resume"):
        train_diffusion(trained, settings(steps=1), Silent())
    train_diffusion(trained, settings(steps=1), Silent(), resume=False)
    open_diffusion_sampler(trained, DiffusionSampleSettings(**QUICK))


def test_the_backend_trained_last_is_the_default(trained):
    assert trained_backend(trained).title == "diffusion"
    assert trained_backend(trained, "cdtg").title == "CDTG"
    with pytest.raises(UserError, match="cdtg, diffusion"):
        trained_backend(trained, "gan")
