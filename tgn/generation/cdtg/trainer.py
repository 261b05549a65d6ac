"""One step of CDTG: the discriminator is updated, then the generator on the same samples."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.cdtg import losses
from tgn.generation.cdtg.conditional_generator import (
    ConditionalGenerator,
    GeneratorOutput,
    Source,
)
from tgn.generation.cdtg.gradient_norms import gradient_name, gradient_norms
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.generation.cdtg.step_parts import CdtgBatch, CdtgHostBatch, CdtgNetworks, Fake
from tgn.generation.stage_discriminator import (
    generator_loss,
    hinge_loss,
)
from tgn.models.feature_losses import perceptual_distance
from tgn.models.moving_average import averaged
from tgn.models.tail_features import FrozenTailNet
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator

STAGES = 4  # of the frozen network, that the discriminator sees
COMPARED = 3  # of them, in the distance of two images
ADAM_BETAS = (0.0, 0.99)
PAIR_STRIDE = 4  # every fourth image is generated twice, for the diversity loss
PATH_STRIDE = 4  # path length is measured on a quarter of the batch (Karras et al. 2020, app. B)
PATH_DECAY = 0.01
GRADIENTS_EVERY = 50  # steps between gradient norms, which take a fifth to a half of a step's time
NAMED_STRIDE = 2  # tail net and CLIP, which name the class, see every second image


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
        self.batch_sampler = BatchSampler(images.labels, settings.batch_size, 0.5, settings.seed)
        self.host_batches = Prefetcher(self._host_batch, settings.steps, in_thread=device.is_gpu)
        decay = 0.5 ** (settings.batch_size / settings.ema_images)
        self.average = averaged(networks.generator, decay)
        self.generator_optimizer = _adam(networks.generator, settings.lr, settings.path_every)
        self.discriminator_optimizer = torch.optim.Adam(
            networks.discriminator.parameters(), settings.discriminator_lr, ADAM_BETAS
        )
        self.mean_path: Tensor | None = None  # until it is first measured

    @property
    def lazy_terms(self) -> tuple[str, ...]:
        """Names of terms that only some steps have; see `run_steps`."""
        return "g_path", *map(gradient_name, self._weights())

    @property
    def frozen_tail_net(self) -> FrozenTailNet:
        """It gives features and class logits."""
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
            images = to_pm1(device.put(real_u8))
            source = Source(self.frozen_tail_net(images).stages[-1], images)
            made: GeneratorOutput = network(
                source, labels, noise, torch.full_like(noise[:, 0], ratio)
            )
        return made.images

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``: discriminator first, then generator on the same samples."""
        batch = self._batch(step)
        fake = self._generate(batch)
        terms = self._discriminator_step(batch, fake)
        terms |= self._generator_step(batch, fake, step)
        self.average.update_parameters(self.networks.generator)
        return terms

    def _host_batch(self, step: int) -> CdtgHostBatch:
        """Draw the global batch of a step and return this process's rows of it."""
        size, random = self.settings.batch_size, generator(self.settings.seed, "cdtg", step)
        rows = self.batch_sampler.rows(step)
        codes = torch.randint(SYMMETRIES, (size,), generator=random)
        ratio = torch.rand(size, generator=random)
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
        images = random_dihedral(images, codes)
        with self.device.autocast(), torch.no_grad():
            features = self.frozen_tail_net(images).stages[-1]
            stages = self.networks.frozen.first_stages(images, STAGES)
        return CdtgBatch(images, labels, noise, ratio, features, stages)

    def _generate(self, batch: CdtgBatch) -> Fake:
        """Generate from every source once, and from every fourth a second time."""
        given = batch.features, batch.images, batch.labels, batch.ratio
        features, images, labels, ratio = (torch.cat([each, each[::PAIR_STRIDE]]) for each in given)
        with self.device.autocast():
            made: GeneratorOutput = self.networks.generator(
                Source(features, images), labels, batch.noise, ratio
            )
            stages = self.networks.frozen.first_stages(made.images, STAGES)
        return Fake(made.images, made.given, stages)

    def _discriminator_step(self, batch: CdtgBatch, fake: Fake) -> dict[str, Tensor]:
        """Raise the logits of real images, lower those of generated ones."""
        count = len(batch.images)
        real_logits = self._logits(batch.stages, batch)
        fake_logits = self._logits([stage[:count].detach() for stage in fake.stages], batch)
        loss = hinge_loss(real_logits, fake_logits)
        optimise(loss, self.discriminator_optimizer, self.device)
        right = torch.stack([(logits > 0).float().mean() for logits in real_logits])
        return {"d_adversarial": loss.detach(), "d_real": right.mean()}

    def _logits(self, stages: list[Tensor], batch: CdtgBatch) -> list[Tensor]:
        """Return the discriminator's logits, given the class and what is left of the source."""
        with torch.no_grad():
            pooled = self.networks.generator.fusion.pooled(batch.features)
            left = (1 - batch.ratio)[:, None] * pooled
        logits: list[Tensor] = self.networks.discriminator(stages, batch.labels, left)
        return logits

    def _generator_step(self, batch: CdtgBatch, fake: Fake, step: int) -> dict[str, Tensor]:
        """Update the generator by the weighted sum of its losses."""
        self.networks.discriminator.requires_grad_(False)
        terms = self.generator_terms(batch, fake)
        self.networks.discriminator.requires_grad_(True)
        weights, norms = self._weights(), {}
        if step % GRADIENTS_EVERY == 0:
            norms = gradient_norms(terms, weights, fake.images, self.device)
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        # Not at the first step: a generator without output has paths of no length.
        if self.settings.path_weight and (step + 1) % self.settings.path_every == 0:
            terms["g_path"] = self._path_length(batch, step)
            loss = loss + self.settings.path_weight * self.settings.path_every * terms["g_path"]
        optimise(loss, self.generator_optimizer, self.device)
        return {name: term.detach() for name, term in terms.items()} | norms

    def generator_terms(self, batch: CdtgBatch, fake: Fake) -> dict[str, Tensor]:
        """Return every loss of the generator that has a weight, before weighting.

        Args:
            batch: real images, their labels and ratios.
            fake: generated from them, with gradient.
        """
        count = len(batch.images)
        terms = {
            "g_adversarial": lambda: generator_loss(
                self._logits([stage[:count] for stage in fake.stages], batch)
            ),
            "g_class": lambda: self._class_term(batch, fake),
            "g_clip": lambda: self._clip_term(batch, fake),
            "g_diversity": lambda: self._diversity_term(batch, fake),
            "g_source": lambda: self._source_term(batch, fake),
        }
        return {name: terms[name]() for name, weight in self._weights().items() if weight}

    def _class_term(self, batch: CdtgBatch, fake: Fake) -> Tensor:
        some = slice(0, len(batch.images), NAMED_STRIDE)
        with self.device.autocast():
            logits = self.frozen_tail_net(fake.images[some]).logits
        return F.cross_entropy(logits.float(), batch.labels[some])

    def _clip_term(self, batch: CdtgBatch, fake: Fake) -> Tensor:
        some, clip = slice(0, len(batch.images), NAMED_STRIDE), self.networks.clip
        assert clip is not None  # its weight is 0 without
        with self.device.autocast():
            cosines = clip(fake.images[some])
        return losses.clip_consistency(cosines, batch.labels[some], clip.logit_scale)

    def _diversity_term(self, batch: CdtgBatch, fake: Fake) -> Tensor:
        count = len(batch.images)
        first = [stage[:count:PAIR_STRIDE] for stage in fake.stages[:COMPARED]]
        between = perceptual_distance(first, [stage[count:] for stage in fake.stages[:COMPARED]])
        ratio = batch.ratio[::PAIR_STRIDE]
        return losses.diversity_shortfall(between, ratio, self.networks.real_distance)

    def _source_term(self, batch: CdtgBatch, fake: Fake) -> Tensor:
        """Return how far images are from what they were made from, or else from their sources."""
        if fake.given is not None:
            return (fake.images.float() - fake.given).abs().mean()
        count = len(batch.images)
        distance = (fake.images[:count].float() - batch.images).abs().mean((1, 2, 3))
        return losses.source_fidelity(distance, batch.ratio)

    def _weights(self) -> dict[str, float]:
        chosen = self.settings
        return {
            "g_adversarial": chosen.adversarial_weight,
            "g_class": chosen.class_weight,
            "g_clip": chosen.clip_weight if self.networks.clip is not None else 0.0,
            "g_diversity": chosen.diversity_weight,
            "g_source": chosen.source_weight,
        }

    def _path_length(self, batch: CdtgBatch, step: int) -> Tensor:
        """Return the path length penalty (Karras et al. 2020, arXiv 1912.04958, eq. 4)."""
        count, size = len(batch.images), self.settings.batch_size
        some = slice(0, count, PATH_STRIDE)
        output: GeneratorOutput = self.networks.generator(
            Source(batch.features[some].float(), batch.images[some]),
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
        yield "generator", self.networks.generator
        yield "discriminator", self.networks.discriminator
        yield "average", self.average
        yield "generator_optimizer", self.generator_optimizer
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
