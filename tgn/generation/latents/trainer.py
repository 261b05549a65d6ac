"""One step of the autoencoder: reconstruct images of all classes, sharp enough to pass for real."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.latents.autoencoder import SIDE, Autoencoder
from tgn.generation.stage_discriminator import (
    StageDiscriminator,
    generator_loss,
    hinge_loss,
)
from tgn.models.backbones import TappedNet
from tgn.models.feature_losses import perceptual_distance
from tgn.models.moving_average import averaged
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator
from tgn.runtime.settings import LoopSettings

BATCH_SIZE = 32
STAGES = 3  # of the frozen network
LR = 1e-3
BETAS = (0.9, 0.99)
DISCRIMINATOR_BETAS = (0.5, 0.99)
PERCEPTUAL_WEIGHT = 0.5
ADVERSARIAL_WEIGHT = 0.1
ADVERSARIAL_START = 0.3  # share of the steps that go before
RISE = 100  # steps over which its weight grows
WARMUP = 50  # steps over which the learning rate grows
LATENT_NOISE = 0.1  # added to latents of second moment 1
AVERAGE_DECAY = 0.99
CLIP_NORM = 1.0


class AutoencoderBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, bands, S, S]
    codes: Tensor  # symmetry of each image, [B]
    noise: Tensor  # [B, channels, 16, 16]


class AutoencoderTrainer:
    """Steps of the autoencoder: pixels, features of a frozen network, and a discriminator on them.

    Args:
        network: to train, on the device.
        frozen: ImageNet network whose stages are compared, on the device.
        images: of all classes: rare ones borrow every texture of frequent ones.
        loop: number of steps, seed.
        device: where to compute.
    """

    def __init__(
        self,
        network: Autoencoder,
        frozen: TappedNet,
        images: ImageSet,
        loop: LoopSettings,
        device: Device,
    ) -> None:
        self.network, self.frozen, self.images = network, frozen, images
        self.loop, self.device = loop, device
        self.sampler = BatchSampler(images.labels, BATCH_SIZE, power=1, seed=loop.seed)
        self.batches = Prefetcher(self._batch, loop.steps, in_thread=device.is_gpu)
        self.discriminator = device.place(StageDiscriminator(frozen.stage_channels[:STAGES]))
        self.average = averaged(network, AVERAGE_DECAY)
        self.optimizer = torch.optim.AdamW(network.parameters(), LR, BETAS)
        self.discriminator_optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), LR, DISCRIMINATOR_BETAS
        )

    @property
    def averaged_network(self) -> Autoencoder:
        """The autoencoder with averaged weights, the one that is used and saved."""
        return cast(Autoencoder, self.average.module)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``: the autoencoder first, then the discriminator."""
        batch, target = self.batches(step), self.device.torch_device
        images = to_pm1(self.device.put(batch.images_u8))
        images = random_dihedral(images, batch.codes.to(target))
        with self.device.autocast():
            latents = self.network.encode(images)
            latents = latents + LATENT_NOISE * batch.noise.to(target)
            decoded = self.network.decode(latents)
            with torch.no_grad():
                real = self.frozen.first_stages(images, STAGES)
            fake = self.frozen.first_stages(decoded, STAGES)
        terms = {
            "pixels": (decoded - images).abs().mean(),
            "perceptual": perceptual_distance(fake, real).mean(),
        }
        loss = terms["pixels"] + PERCEPTUAL_WEIGHT * terms["perceptual"]
        begun = step - round(ADVERSARIAL_START * self.loop.steps)
        if begun >= 0:
            terms["adversarial"] = self._judged(fake)
            weight = ADVERSARIAL_WEIGHT * min(1.0, begun / RISE)
            loss = loss + weight * terms["adversarial"]
        optimise(loss, self.optimizer, self.device, LR * self._rate(step), CLIP_NORM)
        if begun >= 0:
            terms["discriminator"] = self._discriminator_step(real, fake)
        self.average.update_parameters(self.network)
        return {name: term.detach() for name, term in terms.items()}

    def _judged(self, stages: list[Tensor]) -> Tensor:
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self.discriminator(stages))
        self.discriminator.requires_grad_(True)
        return loss

    def _discriminator_step(self, real: list[Tensor], fake: list[Tensor]) -> Tensor:
        fake = [stage.detach() for stage in fake]
        loss = hinge_loss(self.discriminator(real), self.discriminator(fake))
        optimise(loss, self.discriminator_optimizer, self.device)
        return loss

    def _rate(self, step: int) -> float:
        """Return the factor of the learning rate: it falls over the second half of the steps."""
        return min(1.0, (step + 1) / WARMUP, 2 * (1 - step / self.loop.steps))

    def _batch(self, step: int) -> AutoencoderBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        random = generator(self.loop.seed, "autoencoder", step)
        codes = torch.randint(SYMMETRIES, (BATCH_SIZE,), generator=random)
        shape = (BATCH_SIZE, self.network.facts.channels, SIDE, SIDE)
        noise = torch.randn(shape, generator=random)
        own = self.device.own_rows(BATCH_SIZE)
        rows = self.sampler.rows(step)
        return AutoencoderBatch(self.images.batch(rows[own]), codes[own], noise[own])

    def _stateful(self) -> Iterator[tuple[str, nn.Module | torch.optim.Optimizer]]:
        yield "network", self.network
        yield "discriminator", self.discriminator
        yield "average", self.average
        yield "optimizer", self.optimizer
        yield "discriminator_optimizer", self.discriminator_optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return networks, average and optimisers."""
        return {name: part.state_dict() for name, part in self._stateful()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self._stateful():
            part.load_state_dict(state[name])
