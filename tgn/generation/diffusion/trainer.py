"""One step of diffusion: noise is added to images, and the denoiser predicts the clean ones."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.diffusion.denoiser import Conditioning, Denoiser
from tgn.generation.diffusion.reverse_process import ReverseProcess, sample_images
from tgn.generation.diffusion.schedule import NUM_TIMESTEPS, ddim, min_snr_weight
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.generation.feature_noise import VARIATIONS
from tgn.models.feature_losses import perceptual_distance
from tgn.models.moving_average import averaged
from tgn.models.tail_features import FrozenTailNet, TailNetOutput
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator

TRANSFER_STRIDE = 8  # every eighth image is denoised for another class, too
PERCEPTUAL_STRIDE = 2  # every second image has a perceptual loss
LEVEL_RANGE = 1.15  # noise levels are drawn up to here and clamped to 1: an eighth has no source
COMMITMENT = 0.25  # gamma of the transfer loss
CLIP_NORM = 1.0


class DiffusionBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    transfer_labels: Tensor  # drawn as often as classes have images, [B]
    codes: Tensor  # symmetry of each image, [B]
    timesteps: Tensor  # [B] in [0, 1000)
    noise_level: Tensor  # of the source's features, [B]
    is_conditioned: Tensor  # whether class and source are given, [B]
    noise: Tensor  # [B, bands, H, W]
    feature_noise: Tensor  # [B, D, g, g]


class DiffusionTrainer:
    """Steps of the denoiser; all classes are sampled equally often."""

    def __init__(
        self,
        denoiser: Denoiser,
        frozen_tail_net: FrozenTailNet,
        images: ImageSet,
        settings: DiffusionTrainSettings,
        device: Device,
    ) -> None:
        self.denoiser, self.frozen_tail_net, self.images = denoiser, frozen_tail_net, images
        self.settings, self.device = settings, device
        self.batch_sampler = BatchSampler(images.labels, settings.batch_size, True, settings.seed)
        self.batches = Prefetcher(self._batch, settings.steps, in_thread=device.is_gpu)
        self.average = averaged(denoiser, 0.5 ** (settings.batch_size / settings.ema_images))
        self.optimizer = torch.optim.AdamW(
            denoiser.parameters(), settings.lr, weight_decay=settings.weight_decay
        )
        self.schedule = ddim()
        self.snr_weight = min_snr_weight(denoiser.alpha_bar, settings.min_snr_gamma)

    @property
    def averaged_denoiser(self) -> Denoiser:
        """The denoiser with averaged weights, the one that is used and saved."""
        return cast(Denoiser, self.average.module)

    @torch.inference_mode()
    def sample(self, real_u8: Tensor, label: int, ratio: float, random: torch.Generator) -> Tensor:
        """Generate images from real images of a class with the averaged denoiser.

        Args:
            real_u8: source images, [B, bands, H, W].
            label: their class.
            ratio: r in [0, 1].
            random: gives the noise, on the CPU.

        Returns:
            images_pm1 [B, bands, H, W].
        """
        device, facts = self.device, self.denoiser.facts
        count, target = len(real_u8), device.torch_device
        noise = torch.randn(count, *real_u8.shape[1:], generator=random).to(target)
        own = torch.randn(
            count, facts.feature_channels, facts.grid_size, facts.grid_size, generator=random
        )
        with device.autocast():
            features = self.frozen_tail_net(to_pm1(device.put(real_u8))).stages[-1]
        weights = torch.randn(count, VARIATIONS, generator=random).to(target)
        labels = torch.full((count,), label, device=target)
        net = self.averaged_denoiser.eval()
        features = net.interpolate_features(features.float(), labels, weights, ratio)
        process = ReverseProcess(DiffusionSampleSettings())
        level = torch.full((count,), process.settings.conditioning_noise, device=target)
        conditioning = Conditioning(features, own.to(target), level)
        return sample_images(net, noise, conditioning, labels, process, device.autocast)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``."""
        batch = self.batches(step)
        target = self.device.torch_device
        images = to_pm1(self.device.put(batch.images_u8))
        labels, transfer_labels, codes, timesteps, level, is_conditioned, noise, own = (
            x.to(target) for x in batch[1:]
        )
        images = random_dihedral(images, codes)
        with self.device.autocast(), torch.no_grad():
            real = self.frozen_tail_net(images)
        clean = self.denoiser.encode(images)
        labels = torch.where(is_conditioned, labels, self.denoiser.null_class)
        level = torch.where(is_conditioned, level, 1.0)
        conditioning = Conditioning(real.stages[-1].float(), own, level)
        noisy = self.schedule.add_noise(clean, noise, timesteps)
        with self.device.autocast():
            predicted = self.denoiser.train()(noisy, timesteps, conditioning, labels)
        error = (self.snr_weight[timesteps] * _squared_distance(predicted, clean)).mean()
        terms, weights = {"image": error}, {"image": 1.0}
        if self.settings.perceptual_weight:
            terms["perceptual"] = self._perceptual(predicted, real, timesteps, level)
            weights["perceptual"] = self.settings.perceptual_weight
        if self.settings.transfer_weight:
            given = (noisy, timesteps, conditioning, transfer_labels)
            terms["transfer"] = self._transfer(predicted, *given)
            weights["transfer"] = self.settings.transfer_weight
        loss = torch.stack([weights[name] * terms[name] for name in terms]).sum()
        lr = self.settings.lr * warmup_cosine(step / self.settings.steps)
        optimise(loss, self.optimizer, self.device, lr, CLIP_NORM)
        self.average.update_parameters(self.denoiser)
        return {name: term.detach() for name, term in terms.items()}

    def _perceptual(
        self, predicted: Tensor, real: TailNetOutput, timesteps: Tensor, level: Tensor
    ) -> Tensor:
        """Return the perceptual distance to the real images, where they can be predicted.

        Under noise and without a source the best prediction is a mean of many images, which looks
        like none of them. Source: Lin and Yang 2024 (arXiv 2401.00110). Differs from the paper: the
        features are the tail net's in place of the denoiser's own.
        """
        some = slice(0, len(predicted), PERCEPTUAL_STRIDE)
        with self.device.autocast():
            output = self.frozen_tail_net(self.denoiser.decode(predicted[some]))
        known = 1 - (1 - self.denoiser.alpha_bar[timesteps[some]]) * level[some].square()
        return (known * perceptual_distance(output.stages, real.part(some).stages)).mean()

    def _transfer(
        self,
        predicted: Tensor,
        noisy: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
        labels: Tensor,
    ) -> Tensor:
        """Return the transfer loss of a part of the batch, denoised for other classes, too."""
        some = slice(0, len(predicted), TRANSFER_STRIDE)
        part = Conditioning(*(x[some] for x in conditioning))
        with self.device.autocast():
            other = self.denoiser(noisy[some], timesteps[some], part, labels[some])
        alpha_bar = self.denoiser.alpha_bar[timesteps[some]]
        return transfer_loss(predicted[some], other, alpha_bar)

    def _batch(self, step: int) -> DiffusionBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        size, random = self.settings.batch_size, generator(self.settings.seed, "diffusion", step)
        facts, rows = self.denoiser.facts, self.batch_sampler.rows(step)
        by_frequency = torch.randint(len(self.images), (size,), generator=random)
        global_batch = (
            self.images.labels[rows],
            self.images.labels[by_frequency],
            torch.randint(SYMMETRIES, (size,), generator=random),
            torch.randint(NUM_TIMESTEPS, (size,), generator=random),
            _noise_levels(torch.rand(size, generator=random)),
            torch.rand(size, generator=random) >= self.settings.class_dropout,
            torch.randn(size, facts.bands, facts.size, facts.size, generator=random),
            torch.randn(
                size, facts.feature_channels, facts.grid_size, facts.grid_size, generator=random
            ),
        )
        own = self.device.own_rows(size)
        return DiffusionBatch(
            self.images.batch(rows[own]), *(values[own] for values in global_batch)
        )

    def state_dict(self) -> dict[str, Any]:
        """Return denoiser, average and optimiser."""
        return {name: part.state_dict() for name, part in self._stateful()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self._stateful():
            part.load_state_dict(state[name])

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        yield "denoiser", self.denoiser
        yield "average", self.average
        yield "optimizer", self.optimizer


def transfer_loss(own: Tensor, other: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return the distance of the predictions for a class to those for another, above all early.

    With the other class drawn as often as it has images, tail classes share what head classes have
    in common. Source: Qin et al. 2023, Class-Balancing Diffusion Models (arXiv 2305.00562), eq. 9.
    Differs from the paper: weighted by the share of noise in place of the time.

    Args:
        own: images predicted for their class, [B, bands, H, W].
        other: the same for another class.
        alpha_bar: the image's share of the noisy image's variance, [B] in (0, 1).

    Returns:
        A scalar.
    """
    distance = _squared_distance(own, other.detach())
    distance = distance + COMMITMENT * _squared_distance(own.detach(), other)
    return ((1 - alpha_bar) * distance).mean()


def _noise_levels(uniform: Tensor) -> Tensor:
    """Map numbers in [0, 1) to noise levels in [0, 1], more of them near 0 and at 1."""
    return (LEVEL_RANGE * uniform).clamp(max=1).square()


def _squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of each image, [B]."""
    return (a - b).square().mean((1, 2, 3))
