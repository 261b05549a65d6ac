"""One step of CDTG: the discriminator is updated, then the generator on the same samples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.cdtg import losses
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, GeneratorOutput
from tgn.generation.cdtg.diff_augment import diff_augment, sample_diff_augmentation
from tgn.generation.cdtg.discriminator import Discriminator
from tgn.generation.cdtg.gradient_norms import gradient_name, gradient_norms
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.models.clip import ClipGuide
from tgn.models.feature_losses import perceptual_distance
from tgn.models.moving_average import averaged
from tgn.models.tail_features import FrozenTailNet, TailNetOutput
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator

ADAM_BETAS = (0.0, 0.99)
PIXEL_WEIGHT = 2.0  # of the mean absolute pixel difference beside the perceptual distance
PAIR_STRIDE = 4  # every fourth image is generated twice, for the diversity loss
PATH_STRIDE = 4  # path length is measured on a quarter of the batch (Karras et al. 2020, app. B)
PATH_DECAY = 0.01
GRADIENTS_EVERY = 50  # steps between gradient norms, which take a fifth to a half of a step's time
CLIP_STRIDE = 2  # CLIP, the most expensive network, sees every second image


class CdtgHostBatch(NamedTuple):
    """One process's part of a step, as it is prepared on the CPU."""

    images_u8: Tensor  # real, [B, bands, H, W]
    labels: Tensor  # [B]
    codes: Tensor  # symmetry of each image, [B]
    noise: Tensor  # [B + P, noise_dim]
    ratio: Tensor  # [B]


class CdtgBatch(NamedTuple):
    """One process's part of a step, on the device."""

    images: Tensor  # real, [B, bands, H, W] in [-1, 1]
    labels: Tensor  # [B]
    noise: Tensor  # [B + P, noise_dim]; the last P are for second samples of every fourth image
    ratio: Tensor  # r, [B]


@dataclass
class CdtgNetworks:
    """The networks of one training.

    Attributes:
        generator: trained.
        discriminator: trained.
        frozen_tail_net: gives features, class logits and perceptual distances.
        clip: frozen; None without CLIP loss.
        real_distance: mean perceptual distance of two real images of a tail class; 0 without
            diversity loss.
    """

    generator: ConditionalGenerator
    discriminator: Discriminator
    frozen_tail_net: FrozenTailNet
    clip: ClipGuide | None
    real_distance: float


class CdtgTrainer:
    """Steps of generator and discriminator; every loss of the generator has its weight."""

    def __init__(
        self,
        networks: CdtgNetworks,
        images: ImageSet,
        settings: CdtgTrainSettings,
        device: Device,
    ) -> None:
        self.networks, self.images, self.settings = networks, images, settings
        self.device = device
        self.batch_sampler = BatchSampler(images.labels, settings.batch_size, 0, settings.seed)
        self.host_batches = Prefetcher(self._host_batch, settings.steps, in_thread=device.is_gpu)
        decay = 0.5 ** (settings.batch_size / settings.ema_images)
        self.average = averaged(networks.generator, decay)
        self.generator_optimizer = _adam(networks.generator, settings.lr, settings.path_every)
        self.discriminator_optimizer = _adam(networks.discriminator, settings.lr, settings.r1_every)
        self.mean_path: Tensor | None = None  # until it is first measured

    @property
    def lazy_terms(self) -> tuple[str, ...]:
        """Names of terms that only some steps have; see `run_steps`."""
        return "d_r1", "g_path", *map(gradient_name, self._weights())

    @property
    def frozen_tail_net(self) -> FrozenTailNet:
        """It gives features, class logits and perceptual distances."""
        return self.networks.frozen_tail_net

    @property
    def averaged_generator(self) -> ConditionalGenerator:
        """The generator with averaged weights, the one that is used and saved."""
        return cast(ConditionalGenerator, self.average.module)

    @torch.inference_mode()
    def sample(self, real_u8: Tensor, label: int, ratio: float, random: torch.Generator) -> Tensor:
        """Generate images from real images of a class with the averaged generator.

        Args:
            real_u8: source images, [B, bands, H, W].
            label: their class.
            ratio: r in [0, 1].
            random: gives the noise, on the CPU.

        Returns:
            images_pm1 [B, bands, H, W].
        """
        network, device, count = self.averaged_generator.eval(), self.device, len(real_u8)
        noise = torch.randn(count, network.noise_dim, generator=random).to(device.torch_device)
        labels = torch.full((count,), label, device=device.torch_device)
        with device.autocast():
            features = self.frozen_tail_net(to_pm1(device.put(real_u8))).stages[-1]
            return network(features, labels, noise, torch.full_like(noise[:, 0], ratio)).images

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``: discriminator first, then generator on the same samples."""
        batch = self._batch(step)
        with self.device.autocast(), torch.no_grad():
            source = self.frozen_tail_net(batch.images)
        with self.device.autocast():
            fake = self._generate(batch, source)
        terms = self._discriminator_step(batch, fake.images.detach(), step)
        terms |= self._generator_step(batch, source, fake, step)
        self.average.update_parameters(self.networks.generator)
        return terms

    def _host_batch(self, step: int) -> CdtgHostBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        size, random = self.settings.batch_size, generator(self.settings.seed, "cdtg", step)
        rows = self.batch_sampler.rows(step)
        codes = torch.randint(SYMMETRIES, (size,), generator=random)
        ratio = torch.rand(size, generator=random).square()  # all of [0, 1], more of it near 0
        noise = torch.randn(2, size, self.networks.generator.noise_dim, generator=random)
        own = self.device.own_rows(size)
        pairs = own[::PAIR_STRIDE]
        return CdtgHostBatch(
            self.images.batch(rows[own]),
            self.images.labels[rows[own]],
            codes[own],
            torch.cat([noise[0, own], noise[1, pairs]]),
            ratio[own],
        )

    def _batch(self, step: int) -> CdtgBatch:
        host_batch = self.host_batches(step)
        images = to_pm1(self.device.put(host_batch.images_u8))
        labels, codes, noise, ratio = (each.to(images.device) for each in host_batch[1:])
        return CdtgBatch(random_dihedral(images, codes), labels, noise, ratio)

    def _generate(self, batch: CdtgBatch, source: TailNetOutput) -> GeneratorOutput:
        """Generate from every source once, and from every fourth a second time."""
        given = (source.stages[-1], batch.labels, batch.ratio)
        features, labels, ratio = (torch.cat([each, each[::PAIR_STRIDE]]) for each in given)
        return self.networks.generator(features, labels, batch.noise, ratio)

    def _discriminator_step(self, batch: CdtgBatch, fake: Tensor, step: int) -> dict[str, Tensor]:
        """Raise the logits of real images, lower those of generated ones; R1 every few steps."""
        fake = fake[: len(batch.images)]
        with self.device.autocast():
            real_logits = self._logits(batch.images, batch.labels, step, "real")
            fake_logits = self._logits(fake, batch.labels, step, "fake")
        loss = losses.discriminator_adversarial(real_logits.float(), fake_logits.float())
        terms = {"d_adversarial": loss.detach(), "d_real": (real_logits > 0).float().mean()}
        if self.settings.r1_gamma and step % self.settings.r1_every == 0:
            penalty = self._r1(batch, step)
            terms["d_r1"] = penalty.detach()
            loss = loss + 0.5 * self.settings.r1_gamma * self.settings.r1_every * penalty
        optimise(loss, self.discriminator_optimizer, self.device)
        return terms

    def _r1(self, batch: CdtgBatch, step: int) -> Tensor:
        """Return the gradient penalty at the augmented real images, in float32."""
        images = batch.images.detach().requires_grad_(True)
        logits = self._logits(images, batch.labels, step, "real")
        return losses.r1_penalty(logits, images)

    def _logits(self, images: Tensor, labels: Tensor, step: int, kind: str) -> Tensor:
        """Return the discriminator's logits of augmented images, [B]."""
        size = self.settings.batch_size
        random = generator(self.settings.seed, "augment", kind, step)
        augmentation = sample_diff_augmentation(size, random, self.settings.augment)
        own = self.device.own_rows(size)
        return self.networks.discriminator(diff_augment(images, augmentation[own]), labels)

    def _generator_step(
        self, batch: CdtgBatch, source: TailNetOutput, fake: GeneratorOutput, step: int
    ) -> dict[str, Tensor]:
        """Update the generator by the weighted sum of its losses."""
        self.networks.discriminator.requires_grad_(False)
        terms = self.generator_terms(batch, source, fake.images, step)
        self.networks.discriminator.requires_grad_(True)
        weights = self._weights()
        norms = {}
        if step % GRADIENTS_EVERY == 0:
            norms = gradient_norms(terms, weights, fake.images, self.device)
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        if self.settings.path_weight and step % self.settings.path_every == 0:
            terms["g_path"] = self._path_length(batch, source, step)
            loss = loss + self.settings.path_weight * self.settings.path_every * terms["g_path"]
        optimise(loss, self.generator_optimizer, self.device)
        return {name: term.detach() for name, term in terms.items()} | norms

    def generator_terms(
        self, batch: CdtgBatch, source: TailNetOutput, images: Tensor, step: int
    ) -> dict[str, Tensor]:
        """Return every loss of the generator that has a weight, before weighting.

        Args:
            batch: real images, their labels and ratios.
            source: features and logits of the real images.
            images: generated, [B + P, bands, H, W] with gradient; the last P are second samples.
            step: for the augmentation's randomness.
        """
        count = len(batch.images)
        on = {name for name, weight in self._weights().items() if weight}
        terms: dict[str, Tensor] = {}
        with self.device.autocast():
            output = self.frozen_tail_net(images)
            if "g_adversarial" in on:
                logits = self._logits(images[:count], batch.labels, step, "fake")
                terms["g_adversarial"] = losses.generator_adversarial(logits.float())
            if self.networks.clip is not None and "g_clip" in on:
                some = slice(0, count, CLIP_STRIDE)
                cosines, scale = self.networks.clip(images[some]), self.networks.clip.logit_scale
                terms["g_clip"] = losses.clip_consistency(cosines, batch.labels[some], scale)
        fake, second = output.part(slice(count)), output.part(slice(count, None))
        if "g_class" in on:
            terms["g_class"] = F.cross_entropy(fake.logits.float(), batch.labels)
        if "g_source" in on:
            distance = perceptual_distance(fake.stages, source.stages)
            pixels = (images[:count].float() - batch.images).abs().mean((1, 2, 3))
            distance = distance + PIXEL_WEIGHT * pixels
            terms["g_source"] = losses.source_fidelity(distance, batch.ratio)
        if "g_diversity" in on:
            pairs, real = slice(0, count, PAIR_STRIDE), self.networks.real_distance
            between = perceptual_distance(output.part(pairs).stages, second.stages)
            terms["g_diversity"] = losses.diversity_shortfall(between, batch.ratio[pairs], real)
        return terms

    def _weights(self) -> dict[str, float]:
        chosen = self.settings
        return {
            "g_adversarial": chosen.adversarial_weight,
            "g_class": chosen.class_weight,
            "g_clip": chosen.clip_weight,
            "g_diversity": chosen.diversity_weight,
            "g_source": chosen.source_weight,
        }

    def _path_length(self, batch: CdtgBatch, source: TailNetOutput, step: int) -> Tensor:
        """Return the path length penalty (Karras et al. 2020, arXiv 1912.04958, eq. 4)."""
        count, size = len(batch.images), self.settings.batch_size
        some = slice(0, count, PATH_STRIDE)
        output = self.networks.generator(
            source.stages[-1][some].float(),
            batch.labels[some],
            batch.noise[:count][some],
            batch.ratio[some],
        )
        random = generator(self.settings.seed, "path", step)
        noise = torch.randn(size, *output.images.shape[1:], generator=random)
        noise = noise[self.device.own_rows(size)][some].to(output.images.device)
        lengths = losses.path_lengths(output.images, output.styles, noise)
        mean = self.device.average(lengths.detach().mean())
        # From zero it would arrive after hundreds of measurements; the target is wrong until then.
        self.mean_path = mean if self.mean_path is None else self.mean_path.lerp(mean, PATH_DECAY)
        return (lengths - self.mean_path).square().mean()

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        """Yield what is saved; the names are those of checkpoints, also of older versions."""
        yield "painter", self.networks.generator
        yield "discriminator", self.networks.discriminator
        yield "average", self.average
        yield "painter_optimizer", self.generator_optimizer
        yield "discriminator_optimizer", self.discriminator_optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return networks, averages, optimisers and the running path length."""
        state = {name: part.state_dict() for name, part in self._stateful()}
        return {**state, "mean_path": self.mean_path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self._stateful():
            part.load_state_dict(state[name])
        mean = state["mean_path"]
        self.mean_path = None if mean is None else mean.to(self.device.torch_device)


def _adam(net: nn.Module, lr: float, lazy_every: int) -> torch.optim.Adam:
    """Return Adam with the correction for lazy penalties (Karras et al. 2020, appendix B)."""
    ratio = lazy_every / (lazy_every + 1)
    betas = (ADAM_BETAS[0] ** ratio, ADAM_BETAS[1] ** ratio)
    return torch.optim.Adam(net.parameters(), lr * ratio, betas)
