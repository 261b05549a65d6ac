"""One step of CDTG: the discriminator learns, then the generator on the same drawings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import Ahead, BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.cdtg import losses
from tgn.generation.cdtg.augment import apply, sample_augmentation
from tgn.generation.cdtg.conditional_generator import Painted, Painter
from tgn.generation.cdtg.discriminator import Discriminator
from tgn.generation.cdtg.settings import TrainSettings
from tgn.models.clip import ClipGuide
from tgn.models.feature_losses import perceptual_distance
from tgn.models.tail_features import Critic, View
from tgn.runtime.devices import Device
from tgn.runtime.moving_average import averaged
from tgn.runtime.seeds import generator

ADAM_BETAS = (0.0, 0.99)
PIXEL_WEIGHT = 2.0  # of the mean absolute pixel difference beside the perceptual distance
PAIR_SHARE = 4  # every fourth image is drawn twice, for the diversity term
PATH_SHARE = 4  # path length looks at a quarter of the batch (Karras et al. 2020, appendix B)
PATH_DECAY = 0.01
CLIP_SHARE = 2  # CLIP, the dearest judge, looks at every second image


class Drawn(NamedTuple):
    """One process's part of a step, as it is drawn on the CPU."""

    images_u8: Tensor  # real, [B, bands, H, W]
    labels: Tensor  # [B]
    codes: Tensor  # symmetry of each image, [B]
    noise: Tensor  # [B + P, noise_dim]
    ratio: Tensor  # [B]


class Batch(NamedTuple):
    """One process's part of a step, on the device."""

    images: Tensor  # real, [B, bands, H, W] in [-1, 1]
    labels: Tensor  # [B]
    noise: Tensor  # [B + P, noise_dim]; the last P belong to second drawings of every fourth
    ratio: Tensor  # r, [B]


@dataclass
class Parts:
    """The networks of one training."""

    painter: Painter
    discriminator: Discriminator
    critic: Critic
    clip: ClipGuide | None
    real_distance: float  # mean perceptual distance of two real images of a class


class CdtgTrainer:
    """Steps of generator and discriminator; every term of the generator has its weight."""

    def __init__(
        self, parts: Parts, images: ImageSet, settings: TrainSettings, device: Device
    ) -> None:
        self.parts, self.images, self.settings, self.device = parts, images, settings, device
        self.sampler = BatchSampler(images.labels, settings.batch_size, True, settings.seed)
        self.drawn = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        decay = 0.5 ** (settings.batch_size / settings.ema_images)
        self.average = averaged(parts.painter, decay)
        self.painter_optimizer = _adam(parts.painter, settings.lr, settings.path_every)
        self.discriminator_optimizer = _adam(parts.discriminator, settings.lr, settings.r1_every)
        self.mean_path = torch.zeros((), device=device.torch_device)

    @property
    def averaged_painter(self) -> Painter:
        """The generator with averaged weights, the one that is used and saved."""
        return cast(Painter, self.average.module)

    @torch.inference_mode()
    def draw(self, real_u8: Tensor, label: int, ratio: float, draw: torch.Generator) -> Tensor:
        """Draw from real images [B, bands, H, W] of a class with the averaged generator."""
        painter, device, count = self.averaged_painter.eval(), self.device, len(real_u8)
        noise = torch.randn(count, painter.noise_dim, generator=draw).to(device.torch_device)
        labels = torch.full((count,), label, device=device.torch_device)
        with device.autocast():
            features = self.parts.critic(to_pm1(device.put(real_u8))).stages[-1]
            return painter(features, labels, noise, torch.full_like(noise[:, 0], ratio)).images

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``: discriminator first, then generator on the same drawings."""
        batch = self._batch(step)
        with self.device.autocast(), torch.no_grad():
            source = self.parts.critic(batch.images)
        with self.device.autocast():
            painted = self._paint(batch, source)
        terms = self._discriminator_step(batch, painted.images.detach(), step)
        terms |= self._generator_step(batch, source, painted, step)
        self.average.update_parameters(self.parts.painter)
        return terms

    def _draw(self, step: int) -> Drawn:
        """Draw the global batch of a step and return this process's rows of it."""
        size, draw = self.settings.batch_size, generator(self.settings.seed, "cdtg", step)
        rows = self.sampler.rows(step)
        codes = torch.randint(SYMMETRIES, (size,), generator=draw)
        ratio = torch.rand(size, generator=draw).square()  # all of [0, 1], more of it near 0
        noise = torch.randn(2, size, self.parts.painter.noise_dim, generator=draw)
        mine = self.device.mine(torch.arange(size))
        pairs = mine[::PAIR_SHARE]
        return Drawn(
            self.images.batch(rows[mine]),
            self.images.labels[rows[mine]],
            codes[mine],
            torch.cat([noise[0, mine], noise[1, pairs]]),
            ratio[mine],
        )

    def _batch(self, step: int) -> Batch:
        drawn = self.drawn(step)
        images = to_pm1(self.device.put(drawn.images_u8))
        labels, codes, noise, ratio = (each.to(images.device) for each in drawn[1:])
        return Batch(random_dihedral(images, codes), labels, noise, ratio)

    def _paint(self, batch: Batch, source: View) -> Painted:
        """Draw every source once, and every fourth a second time with other noise."""
        given = (source.stages[-1], batch.labels, batch.ratio)
        features, labels, ratio = (torch.cat([each, each[::PAIR_SHARE]]) for each in given)
        return self.parts.painter(features, labels, batch.noise, ratio)

    def _discriminator_step(self, batch: Batch, fake: Tensor, step: int) -> dict[str, Tensor]:
        """Maximise logits of real images, minimise those of drawn ones; R1 now and then."""
        fake = fake[: len(batch.images)]
        with self.device.autocast():
            real_logits = self._judge(batch.images, batch.labels, step, "real")
            fake_logits = self._judge(fake, batch.labels, step, "fake")
        loss = losses.discriminator_adversarial(real_logits.float(), fake_logits.float())
        terms = {"d_adversarial": loss.detach(), "d_real": (real_logits > 0).float().mean()}
        if self.settings.r1_gamma and step % self.settings.r1_every == 0:
            penalty = self._r1(batch, step)
            terms["d_r1"] = penalty.detach()
            loss = loss + 0.5 * self.settings.r1_gamma * self.settings.r1_every * penalty
        self._descend(loss, self.parts.discriminator, self.discriminator_optimizer)
        return terms

    def _r1(self, batch: Batch, step: int) -> Tensor:
        """Gradient penalty at the augmented real images, in float32 (second derivatives)."""
        images = batch.images.detach().requires_grad_(True)
        logits = self._judge(images, batch.labels, step, "real")
        return losses.r1_penalty(logits, images)

    def _judge(self, images: Tensor, labels: Tensor, step: int, kind: str) -> Tensor:
        size, draw = self.settings.batch_size, generator(self.settings.seed, "augment", kind, step)
        drawn = sample_augmentation(size, draw, self.settings.augment)
        mine = self.device.mine(torch.arange(size))
        return self.parts.discriminator(apply(images, drawn[mine]), labels)

    def _generator_step(
        self, batch: Batch, source: View, painted: Painted, step: int
    ) -> dict[str, Tensor]:
        """Pull the drawings toward the discriminator, the class, the prompts and variety."""
        self.parts.discriminator.requires_grad_(False)
        terms = self.generator_terms(batch, source, painted.images, step)
        self.parts.discriminator.requires_grad_(True)
        weights = self._weights()
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        if self.settings.path_weight and step % self.settings.path_every == 0:
            terms["g_path"] = self._path_length(batch, source, step)
            loss = loss + self.settings.path_weight * self.settings.path_every * terms["g_path"]
        self._descend(loss, self.parts.painter, self.painter_optimizer)
        return {name: term.detach() for name, term in terms.items()}

    def generator_terms(
        self, batch: Batch, source: View, images: Tensor, step: int
    ) -> dict[str, Tensor]:
        """Return every term of the generator's loss that has a weight, before weighting.

        Args:
            batch: the real side.
            source: the tail net's view of the real images.
            images: drawings, [B + P, bands, H, W] with gradient; the last P are second drawings.
            step: for the augmentation's randomness.
        """
        count = len(batch.images)
        on = {name for name, weight in self._weights().items() if weight}
        terms: dict[str, Tensor] = {}
        with self.device.autocast():
            view = self.parts.critic(images)
            if "g_adversarial" in on:
                logits = self._judge(images[:count], batch.labels, step, "fake")
                terms["g_adversarial"] = losses.generator_adversarial(logits.float())
            if self.parts.clip is not None and "g_clip" in on:
                seen = slice(0, count, CLIP_SHARE)
                cosines, scale = self.parts.clip(images[seen]), self.parts.clip.logit_scale
                terms["g_clip"] = losses.clip_consistency(cosines, batch.labels[seen], scale)
        drawn, second = view.part(slice(count)), view.part(slice(count, None))
        if "g_class" in on:
            terms["g_class"] = F.cross_entropy(drawn.logits.float(), batch.labels)
        if "g_source" in on:
            distance = perceptual_distance(drawn.stages, source.stages)
            pixels = (images[:count].float() - batch.images).abs().mean((1, 2, 3))
            distance = distance + PIXEL_WEIGHT * pixels
            terms["g_source"] = losses.source_fidelity(distance, batch.ratio)
        if "g_diversity" in on:
            pairs, real = slice(0, count, PAIR_SHARE), self.parts.real_distance
            twice = perceptual_distance(view.part(pairs).stages, second.stages)
            terms["g_diversity"] = losses.diversity_shortfall(twice, batch.ratio[pairs], real)
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

    def _path_length(self, batch: Batch, source: View, step: int) -> Tensor:
        """Deviation of the path lengths from their running mean (Karras et al. 2020, eq. 4)."""
        count, size = len(batch.images), self.settings.batch_size
        few = slice(0, count, PATH_SHARE)
        painted = self.parts.painter(
            source.stages[-1][few].float(),
            batch.labels[few],
            batch.noise[:count][few],
            batch.ratio[few],
        )
        draw = generator(self.settings.seed, "path", step)
        noise = torch.randn(size, *painted.images.shape[1:], generator=draw)
        noise = noise[self.device.mine(torch.arange(size))][few].to(painted.images.device)
        lengths = losses.path_lengths(painted.images, painted.styles, noise)
        mean = self.device.total(lengths.detach().mean()) / self.device.processes
        self.mean_path = self.mean_path.lerp(mean, PATH_DECAY)
        return (lengths - self.mean_path).square().mean()

    def _descend(self, loss: Tensor, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.device.average_gradients(net.parameters())
        optimizer.step()

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        yield "painter", self.parts.painter
        yield "discriminator", self.parts.discriminator
        yield "average", self.average
        yield "painter_optimizer", self.painter_optimizer
        yield "discriminator_optimizer", self.discriminator_optimizer

    def state_dict(self) -> dict[str, Any]:
        """Return networks, averages, optimisers and the running path length."""
        state = {name: part.state_dict() for name, part in self._stateful()}
        return {**state, "mean_path": self.mean_path}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        for name, part in self._stateful():
            part.load_state_dict(state[name])
        self.mean_path = state["mean_path"].to(self.device.torch_device)


def _adam(net: nn.Module, lr: float, lazy_every: int) -> torch.optim.Adam:
    """Adam with the correction for lazy penalties (Karras et al. 2020, appendix B)."""
    ratio = lazy_every / (lazy_every + 1)
    betas = (ADAM_BETAS[0] ** ratio, ADAM_BETAS[1] ** ratio)
    return torch.optim.Adam(net.parameters(), lr * ratio, betas)
