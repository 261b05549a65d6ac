"""One step of diffusion: noise is added to images, the denoiser says what is under it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tgn.data.augmentation import SYMMETRIES, random_dihedral
from tgn.data.batches import Ahead, BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.generation.diffusion.denoiser import Denoiser, Source
from tgn.generation.diffusion.sampler import Recipe, draw_images
from tgn.generation.diffusion.schedule import TIMES, ddim, min_snr_weight
from tgn.generation.diffusion.settings import DiffusionSettings, SampleSettings
from tgn.generation.feature_noise import VARIATIONS
from tgn.models.feature_losses import perceptual_distance
from tgn.models.tail_features import Critic, View
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.moving_average import averaged
from tgn.runtime.seeds import generator

TRANSFER_SHARE = 8  # every eighth image is also seen as of another class
PERCEIVED = 2  # every second image is looked at by the tail net
CLASS_ALONE = 1.15  # how far doubt is drawn beyond 1, where it stops: an eighth has no source
COMMITMENT = 0.25  # gamma of the transfer term
CLIP_NORM = 1.0


class Drawn(NamedTuple):
    """One process's part of a step, as it is drawn on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    others: Tensor  # labels drawn as often as classes have images, [B]
    codes: Tensor  # symmetry of each image, [B]
    times: Tensor  # [B] in [0, 1000)
    doubt: Tensor  # of the source's features, [B]
    is_told: Tensor  # whether class and source are told, [B]
    noise: Tensor  # [B, bands, H, W]
    feature_noise: Tensor  # [B, D, g, g]


class DiffusionTrainer:
    """Steps of the denoiser; classes are drawn alike, however many images they have."""

    def __init__(
        self,
        denoiser: Denoiser,
        critic: Critic,
        images: ImageSet,
        settings: DiffusionSettings,
        device: Device,
    ) -> None:
        self.denoiser, self.critic, self.images = denoiser, critic, images
        self.settings, self.device = settings, device
        self.sampler = BatchSampler(images.labels, settings.batch_size, True, settings.seed)
        self.drawn = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        self.average = averaged(denoiser, 0.5 ** (settings.batch_size / settings.ema_images))
        self.optimizer = torch.optim.AdamW(
            denoiser.parameters(), settings.lr, weight_decay=settings.weight_decay
        )
        self.schedule = ddim()
        self.weight = min_snr_weight(denoiser.signal, settings.min_snr)
        self.recipe = Recipe(SampleSettings(device="cpu"))

    @property
    def averaged_denoiser(self) -> Denoiser:
        """The denoiser with averaged weights, the one that is used and saved."""
        return cast(Denoiser, self.average.module)

    @torch.inference_mode()
    def draw(self, real_u8: Tensor, label: int, ratio: float, draw: torch.Generator) -> Tensor:
        """Draw from real images [B, bands, H, W] of a class with the averaged denoiser."""
        device, facts = self.device, self.denoiser.facts
        count, target = len(real_u8), device.torch_device
        noise = torch.randn(count, *real_u8.shape[1:], generator=draw).to(target)
        own = torch.randn(
            count, facts.feature_channels, facts.grid_size, facts.grid_size, generator=draw
        )
        with device.autocast():
            features = self.critic(to_pm1(device.put(real_u8))).stages[-1]
        weights = torch.randn(count, VARIATIONS, generator=draw).to(target)
        labels = torch.full((count,), label, device=target)
        net = self.averaged_denoiser.eval()
        features = net.between(features.float(), labels, weights, ratio)
        doubt = torch.full((count,), self.recipe.settings.doubt, device=target)
        source = Source(features, own.to(target), doubt)
        return draw_images(net, noise, source, labels, self.recipe, device.autocast)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do step ``step``."""
        drawn = self.drawn(step)
        target = self.device.torch_device
        images = to_pm1(self.device.put(drawn.images_u8))
        labels, others, codes, times, doubt, is_told, noise, own = (x.to(target) for x in drawn[1:])
        images = random_dihedral(images, codes)
        with self.device.autocast(), torch.no_grad():
            real = self.critic(images)
        wanted = self.denoiser.encode(images)
        labels = torch.where(is_told, labels, self.denoiser.no_class)
        doubt = torch.where(is_told, doubt, 1.0)
        source = Source(real.stages[-1].float(), own, doubt)
        noisy = self.schedule.add_noise(wanted, noise, times)
        with self.device.autocast():
            found = self.denoiser.train()(noisy, times, source, labels)
        terms = {"image": (self.weight[times] * _distance(found, wanted)).mean()}
        if self.settings.perceptual:
            terms["perceptual"] = self._perceptual(found, real, times, doubt)
        if self.settings.transfer:
            few = slice(0, len(images), TRANSFER_SHARE)
            part = Source(*(x[few] for x in source))
            with self.device.autocast():
                other = self.denoiser(noisy[few], times[few], part, others[few])
            terms["transfer"] = transfer_loss(found[few], other, self.denoiser.signal[times[few]])
        weights = {"image": 1.0, **self.settings.model_dump(include={"perceptual", "transfer"})}
        self._descend(torch.stack([weights[name] * terms[name] for name in terms]).sum(), step)
        return {name: term.detach() for name, term in terms.items()}

    def _perceptual(self, found: Tensor, real: View, times: Tensor, doubt: Tensor) -> Tensor:
        """How different the images found are to the tail net, where it can be known.

        Under noise and without a source what should be found is a mean of many images, and that
        looks like none of them. Source: Lin and Yang 2024 (arXiv 2401.00110), with the tail net in
        place of the denoiser's own features.
        """
        few = slice(0, len(found), PERCEIVED)
        with self.device.autocast():
            view = self.critic(self.denoiser.decode(found[few]))
        known = 1 - (1 - self.denoiser.signal[times[few]]) * doubt[few].square()
        return (known * perceptual_distance(view.stages, real.part(few).stages)).mean()

    def _descend(self, loss: Tensor, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * warmup_cosine(step / self.settings.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = list(self.denoiser.parameters())
        self.device.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        self.optimizer.step()
        self.average.update_parameters(self.denoiser)

    def _draw(self, step: int) -> Drawn:
        """Draw the global batch of a step and return this process's rows of it."""
        size, draw = self.settings.batch_size, generator(self.settings.seed, "diffusion", step)
        facts, rows = self.denoiser.facts, self.sampler.rows(step)
        by_number = torch.randint(len(self.images), (size,), generator=draw)
        everything = (
            self.images.labels[rows],
            self.images.labels[by_number],
            torch.randint(SYMMETRIES, (size,), generator=draw),
            torch.randint(TIMES, (size,), generator=draw),
            _doubts(torch.rand(size, generator=draw)),
            torch.rand(size, generator=draw) >= self.settings.dropped,
            torch.randn(size, facts.bands, facts.size, facts.size, generator=draw),
            torch.randn(
                size, facts.feature_channels, facts.grid_size, facts.grid_size, generator=draw
            ),
        )
        mine = self.device.mine(torch.arange(size))
        return Drawn(self.images.batch(rows[mine]), *(values[mine] for values in everything))

    def state_dict(self) -> dict[str, Any]:
        """Return denoiser, average and optimiser."""
        return {name: part.state_dict() for name, part in self._stateful()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        for name, part in self._stateful():
            part.load_state_dict(state[name])

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        yield "denoiser", self.denoiser
        yield "average", self.average
        yield "optimizer", self.optimizer


def transfer_loss(own: Tensor, other: Tensor, signal: Tensor) -> Tensor:
    """What is drawn of one class should not be far from what is drawn of another, above all early.

    Drawing the other class as often as it has images lends the tail what head classes have in
    common. Source: Qin et al. 2023, Class-Balancing Diffusion Models (arXiv 2305.00562), eq. 9,
    with the share of noise for its time.

    Args:
        own: image found for its class, [B, bands, H, W].
        other: for another class, alike.
        signal: share of the image in the noisy one's variance, [B] in (0, 1).

    Returns:
        A scalar.
    """
    pulled = _distance(own, other.detach()) + COMMITMENT * _distance(own.detach(), other)
    return ((1 - signal) * pulled).mean()


def _doubts(uniform: Tensor) -> Tensor:
    """Doubts from numbers in [0, 1): all of [0, 1], more of them near 0 and at 1."""
    return (CLASS_ALONE * uniform).clamp(max=1).square()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each image, [B]."""
    return (a - b).square().mean((1, 2, 3))
