"""Diffusion: the network, its flow, its guidance, and the stage from training to sampling."""

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
from tgn.generation.diffusion.flow import (
    logit_normal_times,
    noisy_latents,
    times_from,
    velocity_loss,
)
from tgn.generation.diffusion.guidance import apply_guidance, tail_net_loss
from tgn.generation.diffusion.reverse_process import (
    ReverseProcess,
    entry,
    guided_velocity,
    sample_images,
)
from tgn.generation.diffusion.sampler import open_diffusion_sampler
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.diffusion.train import train_diffusion
from tgn.generation.diffusion.trainer import _noise_levels
from tgn.generation.feature_noise import VARIATIONS
from tgn.generation.frozen_network import frozen_network
from tgn.generation.latents.autoencoder import Autoencoder
from tgn.models.backbones import load_classifier
from tgn.models.feature_bank import tail_net_file
from tgn.models.tail_features import FrozenTailNet
from tgn.models.training_networks import TrainingNetwork, from_header
from tgn.runtime.checkpoints import read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Silent

FACTS = DenoiserFacts(size=32, bands=3, width=16, num_classes=4, feature_channels=6)


def denoiser(**changes) -> Denoiser:
    torch.manual_seed(0)
    facts = FACTS._replace(**changes)
    network = Denoiser(facts, Autoencoder(facts.latents)).eval()
    for weight in network.unet.parameters():
        if not weight.any():  # it starts as one that sees nothing
            torch.nn.init.normal_(weight, std=0.05)
    return network


def source(count: int, level: float, seed: int = 0) -> Conditioning:
    draw = torch.Generator().manual_seed(seed)
    features, noise = (torch.randn(count, FACTS.feature_channels, generator=draw) for _ in range(2))
    return Conditioning(features, noise, torch.full((count,), level))


def sample(net: Denoiser, given: Conditioning, labels: torch.Tensor, **changes) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    noise = torch.randn(len(labels), *net.facts.latent_shape, generator=draw)
    images = torch.rand(len(labels), 3, 32, 32, generator=draw) * 2 - 1
    settings = DiffusionSampleSettings(sampling_steps=4, device="cpu", **changes)
    with torch.no_grad():
        x = entry(net, images, noise, settings.noise, torch.no_grad)
        return sample_images(net, x, given, labels, ReverseProcess(settings), torch.no_grad)


@pytest.mark.parametrize(
    ("size", "bands", "shape"),
    [(32, 3, (8, 16, 16)), (64, 1, (16, 16, 16)), (128, 3, (32, 16, 16)), (256, 3, (64, 16, 16))],
)
def test_an_image_of_every_size(size, bands, shape):
    net = denoiser(size=size, bands=bands)
    assert net.facts.latent_shape == shape
    images = torch.rand(2, bands, size, size) * 2 - 1
    latents = net.autoencoder.encode(images)
    assert latents.shape == (2, *shape)
    found = net(latents, torch.rand(2), source(2, 0.5), torch.tensor([0, net.null_class]))
    assert found.shape == latents.shape
    assert found.dtype == torch.float32
    assert net.autoencoder.decode(latents).shape == images.shape


def test_conditioning_noise_removes_the_features():
    net = denoiser()
    net.fit(3 + 2 * torch.randn(64, 6, 2, 2), torch.arange(64) % 4)
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
    features = 3 + 2 * torch.randn(2000, 6, 1, 1)
    net.fit(features, torch.arange(2000) % 4)
    features = features.flatten(1)
    standard = (features - net.mean) / net.std
    for level in (0.0, 0.3, 0.7, 1.0):
        given = Conditioning(features, torch.randn(2000, 6), torch.full((2000,), level))
        estimate = net._estimated_features(given)
        error = (estimate - standard).square().mean().item()
        assert error == pytest.approx(level**2, abs=0.03)
        for factor in (0.9, 1.1):
            assert (factor * estimate - standard).square().mean().item() >= error


def test_the_ratio_goes_from_the_source_to_its_class():
    net, labels = denoiser(), torch.arange(40) % 4
    features = labels.view(-1, 1, 1, 1) + 0.1 * torch.randn(40, 6, 2, 2)
    net.fit(features, labels)
    noise = torch.randn(40, VARIATIONS)
    near, half, far = (
        net.interpolate_features(features, labels, noise, r) for r in (0.0, 0.5, 1.0)
    )
    torch.testing.assert_close(near, features.mean((2, 3)))
    torch.testing.assert_close(half, (near + far) / 2)
    assert torch.equal(far, net.interpolate_features(features.flip(0) * 0, labels, noise, 1.0))
    assert (far.mean(1) - labels).abs().max() < 0.3
    assert (far - far[4]).abs().sum(1)[0] > 0  # two of a class differ


def test_the_flow_is_a_straight_way():
    latents, noise = torch.randn(2, 5, 3, 4, 4)
    times = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    noisy = noisy_latents(latents, noise, times)
    torch.testing.assert_close(noisy[0], latents[0])
    torch.testing.assert_close(noisy[1], 0.75 * latents[1] + 0.25 * noise[1])
    torch.testing.assert_close(noisy[4], noise[4])
    torch.testing.assert_close(velocity_loss(noise - latents, latents, noise), torch.zeros(5))
    torch.testing.assert_close(
        velocity_loss(noise - latents + 2, latents, noise), torch.full((5,), 4.0)
    )
    assert logit_normal_times(torch.tensor([-9.0, 0.0, 9.0])).tolist() == pytest.approx(
        [0.0001, 0.5, 0.9999], abs=1e-4
    )


def test_the_way_is_entered_at_r():
    assert times_from(1.0, 20) == pytest.approx([1 - k / 20 for k in range(21)])
    assert times_from(0.4, 20) == pytest.approx([0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0])
    assert times_from(0.05, 20) == pytest.approx([0.05, 0.0375, 0.025, 0.0125, 0])
    assert times_from(0.0, 20) == [0.0]


def test_without_noise_the_source_is_decoded_and_at_1_nothing_of_it_is_left():
    net = denoiser()
    draw = torch.Generator().manual_seed(3)
    first, second = torch.rand(2, 2, 3, 32, 32, generator=draw) * 2 - 1
    noise = torch.randn(2, *net.facts.latent_shape, generator=draw)
    with torch.no_grad():
        kept = entry(net, first, noise, 0.0, torch.no_grad)
        torch.testing.assert_close(kept, net.autoencoder.encode(first))
        gone = [entry(net, images, noise, 1.0, torch.no_grad) for images in (first, second)]
    torch.testing.assert_close(gone[0], noise)
    torch.testing.assert_close(gone[1], noise)


class Perfect(torch.nn.Module):
    """Knows the latents under the noise: one number a class, zero where no class is given."""

    null_class = 4

    class _Identity:
        encode = decode = staticmethod(lambda x: x)

    autoencoder = _Identity

    def forward(self, noisy, times, _source, labels):
        clean = ((labels.float() / 4 - 0.5) * (labels < 4)).view(-1, 1, 1, 1).expand_as(noisy)
        return (noisy - clean) / times.view(-1, 1, 1, 1)


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_sampling_ends_at_what_the_network_knows(ratio):
    labels = torch.tensor([0, 1, 3])
    start = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    settings = DiffusionSampleSettings(noise=ratio, sampling_steps=5, guidance=1.0, device="cpu")
    found = sample_images(
        Perfect(), start, source(3, 0.5), labels, ReverseProcess(settings), torch.no_grad
    )  # fmt: skip
    expected = (labels / 4 - 0.5).view(3, 1, 1, 1).expand_as(found)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_training_covers_all_noise_levels_and_often_has_no_source():
    levels = _noise_levels(torch.linspace(0, 1, 1001))
    assert levels.min() == 0
    assert (levels == 1).float().mean().item() == pytest.approx(0.13, abs=0.01)


def test_guidance_goes_from_no_class_to_the_class_and_beyond():
    net, given, labels = denoiser(), source(2, 0.5), torch.tensor([0, 3])
    x = torch.randn(2, *net.facts.latent_shape)
    nothing = Conditioning(given.features, given.noise, torch.ones(2))
    with torch.no_grad():
        with_class = net(x, torch.full((2,), 0.5), given, labels)
        none = torch.full((2,), net.null_class)
        without = net(x, torch.full((2,), 0.5), nothing, none)
        found = guided_velocity(net, x, 0.5, given, labels, 3.0)
    assert not torch.allclose(with_class, without, atol=1e-4)
    torch.testing.assert_close(found, without + 3 * (with_class - without), atol=1e-4, rtol=1e-3)


def test_an_untrained_network_predicts_nothing():
    net = Denoiser(FACTS, Autoencoder(FACTS.latents)).eval()
    x = torch.randn(2, *FACTS.latent_shape)
    with torch.no_grad():
        found = net(x, torch.rand(2), source(2, 0.5), torch.tensor([0, 3]))
    assert found.abs().max() < 0.2


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
    net.fit(torch.randn(10, 6, 2, 2), torch.arange(10) % 4)
    save_denoiser(tmp_path / "x.safetensors", net, "abc")
    read, tail = load_denoiser(tmp_path / "x.safetensors")
    assert tail == "abc"
    given, labels = source(2, 0.3), torch.tensor([0, 1])
    images, times = torch.rand(2, 3, 32, 32), torch.tensor([0.1, 0.7])
    latents = net.autoencoder.encode(images)
    torch.testing.assert_close(read.autoencoder.encode(images), latents)
    torch.testing.assert_close(
        read(latents, times, given, labels), net(latents, times, given, labels)
    )
    with pytest.raises(NotFoundError, match="tgn train --backend diffusion"):
        load_denoiser(tmp_path / "y.safetensors")
    save_weights(tmp_path / "old.safetensors", net.state_dict(), {"format": "tgn-diffusion-2"})
    with pytest.raises(UserError, match="tgn-diffusion-2.*--no-resume"):
        load_denoiser(tmp_path / "old.safetensors")


def settings(**changes) -> DiffusionTrainSettings:
    small = {"size": 32, "width": 16, "batch_size": 8, "steps": 4, "autoencoder_steps": 3}
    small |= {"log_every": 1, "grid_every": 100}
    return DiffusionTrainSettings.model_validate({**QUICK, **small, **changes})


def test_training_goes_on_where_it_stopped(distilled):
    file = distilled.denoiser
    train_diffusion(distilled, settings(), Silent())
    straight = file.read_bytes()
    tail_net = distilled.path / "kmdn" / "tail.safetensors"
    known = (TrainingNetwork("tail net", sha256_of(tail_net)), frozen_network())
    assert from_header(read_metadata(file)) == known
    assert list((distilled.path / "diffusion" / "grids").glob("*.png"))
    for after in (2, 5):  # within the autoencoder's training, and after it
        distilled.autoencoder.unlink(missing_ok=True)
        with pytest.raises(KeyboardInterrupt):
            train_diffusion(distilled, settings(), Stops(after), resume=False)
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
