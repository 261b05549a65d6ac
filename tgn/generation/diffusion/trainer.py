"""One step of diffusion: noise is added to latents, and the denoiser predicts the velocity."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.diffusion.denoiser import Conditioning, Denoiser, pooled_features
from tgn.generation.diffusion.flow import logit_normal_times, noisy_latents, velocity_loss
from tgn.generation.diffusion.reverse_process import Noise, ReverseProcess, Source, sample_from
from tgn.generation.diffusion.settings import DiffusionSampleSettings, DiffusionTrainSettings
from tgn.models.moving_average import averaged
from tgn.models.tail_features import FrozenTailNet
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator

LEVEL_RANGE = 1.15  # noise levels are drawn up to here and clamped to 1: an eighth has no source
CLIP_NORM = 1.0
BETAS = (0.9, 0.99)


class DiffusionBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    codes: Tensor  # symmetry of each image, [B]
    source_codes: Tensor  # symmetry in which the tail net sees it, [B]
    times: Tensor  # t, [B] in (0, 1)
    noise_level: Tensor  # of the source's features, [B]
    is_conditioned: Tensor  # whether class and source are given, [B]
    noise: Tensor  # [B, C, h, w]
    feature_noise: Tensor  # [B, D]


class DiffusionTrainer:
    """Steps of the denoiser; a class is drawn by the square root of its count."""

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
        self.batch_sampler = BatchSampler(images.labels, settings.batch_size, 0.5, settings.seed)
        self.batches = Prefetcher(self._batch, settings.steps, in_thread=device.is_gpu)
        self.average = averaged(denoiser, 0.5 ** (settings.batch_size / settings.ema_images))
        self.optimizer = torch.optim.AdamW(
            [weight for weight in denoiser.parameters() if weight.requires_grad],
            settings.lr,
            BETAS,
            weight_decay=settings.weight_decay,
        )

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
        device, net, count = self.device, self.averaged_denoiser.eval(), len(real_u8)
        target = device.torch_device
        noise = Noise(
            *(
                torch.randn(count, *shape, generator=random).to(target)
                for shape in net.facts.noise_shapes
            )
        )
        images = to_pm1(device.put(real_u8))
        with device.autocast():
            features = self.frozen_tail_net(images).stages[-1]
        labels = torch.full((count,), label, device=target)
        process = ReverseProcess(DiffusionSampleSettings(noise=ratio))
        return sample_from(net, Source(images, features), noise, labels, process, device.autocast)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``."""
        batch, target = self.batches(step), self.device.torch_device
        images = to_pm1(self.device.put(batch.images_u8))
        labels, codes, source_codes, times, level, is_conditioned, noise, own = (
            values.to(target) for values in batch[1:]
        )
        with self.device.autocast(), torch.no_grad():
            source = self.frozen_tail_net(random_dihedral(images, source_codes)).stages[-1]
            latents = self.denoiser.autoencoder.encode(random_dihedral(images, codes))
        labels = torch.where(is_conditioned, labels, self.denoiser.null_class)
        level = torch.where(is_conditioned, level, 1.0)
        conditioning = Conditioning(pooled_features(source), own, level)
        noisy = noisy_latents(latents, noise, times)
        with self.device.autocast():
            predicted = self.denoiser.train()(noisy, times, conditioning, labels)
        loss = velocity_loss(predicted, latents, noise).mean()
        lr = self.settings.lr * warmup_cosine(step / self.settings.steps)
        optimise(loss, self.optimizer, self.device, lr, CLIP_NORM)
        self.average.update_parameters(self.denoiser)
        return {"velocity": loss.detach()}

    def _batch(self, step: int) -> DiffusionBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        size, random = self.settings.batch_size, generator(self.settings.seed, "diffusion", step)
        facts, rows = self.denoiser.facts, self.batch_sampler.rows(step)
        global_batch = (
            self.images.labels[rows],
            torch.randint(SYMMETRIES, (size,), generator=random),
            torch.randint(SYMMETRIES, (size,), generator=random),
            logit_normal_times(torch.randn(size, generator=random)),
            _noise_levels(torch.rand(size, generator=random)),
            torch.rand(size, generator=random) >= self.settings.class_dropout,
            torch.randn(size, *facts.latent_shape, generator=random),
            torch.randn(size, facts.feature_channels, generator=random),
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


def _noise_levels(uniform: Tensor) -> Tensor:
    """Map numbers in [0, 1) to noise levels in [0, 1], an eighth of them 1."""
    return (LEVEL_RANGE * uniform).clamp(max=1)
