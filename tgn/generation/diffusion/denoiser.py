"""The network of diffusion: noisy images, time, class and tail features in, clean images out."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.diffusion.schedule import ddim, image_of
from tgn.generation.feature_noise import FeatureNoise
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError

WEIGHTS, FORMAT = "denoiser.safetensors", "tgn-diffusion-2"
CONTEXT = 64  # channels of a token
HINTS = 48  # channels of the source's features beside the image
NORM_GROUPS = 8
LARGEST_FINE = 64  # larger images are cut into larger patches, so that the cost stays within reach
COARSEST = 4  # places of a side at the lowest level, where attention is
TOKENS = 4  # tokens of a side: where things are is read from the hints

Predicts = Literal["image", "velocity"]


class DenoiserFacts(NamedTuple):
    """What a denoiser is built from, and rebuilt from its file."""

    size: int  # side of images in pixels
    bands: int
    width: int  # channels at full resolution
    num_classes: int
    feature_channels: int  # D of the tail net
    grid_size: int  # g of its features
    predicts: Predicts = "image"

    @property
    def patch(self) -> int:
        """Side of the squares of pixels that the network sees as one place."""
        return 4 if self.size <= LARGEST_FINE else 8

    @property
    def tokens(self) -> int:
        """Tokens of a side that tell of the source."""
        return min(self.grid_size, TOKENS)

    @property
    def levels(self) -> int:
        """How often the network halves its places, plus one."""
        return (self.size // self.patch // COARSEST).bit_length()


class Source(NamedTuple):
    """Where drawings come from."""

    features: Tensor  # of the tail net, [B, D, h, w]
    noise: Tensor  # standard normal, [B, D, g, g]
    doubt: Tensor  # how far the features are not to be believed, [B] in [0, 1]


class Denoiser(nn.Module):
    """A UNet of diffusers over patches of pixels that knows a source by its features.

    They are read through cross-attention, and laid beside the image: where things are is learned
    much sooner so. They can be doubted: what is read is the best linear guess at the standardised
    features f from sqrt(1 - d^2) f + d noise, so that at d = 1 nothing of them is left; d is told
    by a token of its own, and training sees all of [0, 1] (conditioning augmentation, Ho et al.
    2021, arXiv 2106.15282). Doubted features need not be of a real image: with the ratio r they are
    mixed with features made up for the class, and at r = 1 nothing of the source is left.

    What comes out of the UNet is the clean image, or the velocity from which it follows. Images lie
    near a surface of few dimensions and velocities do not, so that a narrow network over large
    patches learns them sooner (Li and He 2025, arXiv 2511.13720).

    Args:
        facts: of the network.
    """

    mean: Tensor
    std: Tensor
    image_mean: Tensor
    image_std: Tensor
    signal: Tensor

    def __init__(self, facts: DenoiserFacts) -> None:
        super().__init__()
        self.facts = facts
        self.unet = _unet(facts)
        self.hint = nn.Conv2d(facts.feature_channels, HINTS, 1)
        self.embed = nn.Linear(facts.feature_channels, CONTEXT)
        self.made_up = FeatureNoise(facts.num_classes, facts.feature_channels, facts.grid_size)
        self.place = nn.Parameter(0.02 * torch.randn(1, facts.tokens**2, CONTEXT))
        self.tell_doubt = nn.Sequential(
            nn.Linear(1, CONTEXT), nn.SiLU(), nn.Linear(CONTEXT, CONTEXT)
        )
        shape = (1, facts.feature_channels, 1, 1)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("image_mean", torch.zeros(1, facts.bands, 1, 1))
        self.register_buffer("image_std", torch.ones(()))
        self.register_buffer("signal", ddim().alphas_cumprod, persistent=False)

    @property
    def no_class(self) -> int:
        """The label of images whose class is not told."""
        return self.facts.num_classes

    def fit(self, features: Tensor, labels: Tensor, images_pm1: Tensor) -> None:
        """Take the measure of real features, once.

        Args:
            features: of the tail net, in random order, [N, D, h, w].
            labels: their classes, [N].
            images_pm1: [M, bands, H, W].
        """
        self.made_up.fit(features, labels)
        features = _pooled(features, self.facts.grid_size)
        self.image_mean.copy_(images_pm1.mean((0, 2, 3), keepdim=True))
        self.image_std.copy_((images_pm1 - self.image_mean).square().mean().sqrt().clamp(min=1e-3))
        self.mean.copy_(features.mean((0, 2, 3), keepdim=True))
        self.std.copy_(features.std((0, 2, 3), keepdim=True).clamp(min=1e-4))

    def between(self, features: Tensor, labels: Tensor, noise: Tensor, ratio: float) -> Tensor:
        """Features between those of a source and made-up ones of its class.

        Args:
            features: [B, D, h, w].
            labels: [B].
            noise: standard normal, [B, VARIATIONS].
            ratio: r in [0, 1]: 0 keeps the source's features, 1 forgets them.

        Returns:
            [B, D, g, g].
        """
        return _pooled(features, self.facts.grid_size).lerp(self.made_up(noise, labels), ratio)

    def encode(self, images_pm1: Tensor) -> Tensor:
        """Images of mean 0 and variance 1: a schedule of noise takes that for granted."""
        return (images_pm1 - self.image_mean) / self.image_std

    def decode(self, images: Tensor) -> Tensor:
        """The way back, about [-1, 1]."""
        return images * self.image_std + self.image_mean

    def forward(self, noisy: Tensor, times: Tensor, source: Source, labels: Tensor) -> Tensor:
        """Return the images expected under the noise, encoded, [B, bands, H, W].

        Args:
            noisy: encoded images with noise, [B, bands, H, W].
            times: [B] in [0, 1000).
            source: of each image.
            labels: classes, or `no_class`, [B].
        """
        patches = F.pixel_unshuffle(noisy, self.facts.patch)  # [B, bands p^2, H / p, W / p]
        guess = self._guess(source)  # [B, D, g, g]
        hints = F.interpolate(self.hint(guess), patches.shape[2:], mode="bilinear")
        seen = torch.cat((patches, hints), dim=1).contiguous(memory_format=torch.channels_last)
        tokens = self._tokens(guess, source.doubt)  # [B, places + 1, CONTEXT]
        said = self.unet(seen, times, tokens, class_labels=labels).sample
        said = F.pixel_shuffle(said.float(), self.facts.patch)
        if self.facts.predicts == "image":
            return said
        return image_of(noisy, said, self.signal[times].view(-1, 1, 1, 1))

    def _guess(self, source: Source) -> Tensor:
        """The best linear guess at the standardised features, as far as they are believed."""
        doubt = source.doubt.view(-1, 1, 1, 1)
        features = (_pooled(source.features, self.facts.grid_size) - self.mean) / self.std
        belief = (1 - doubt.square()).sqrt()
        return belief * (belief * features + doubt * source.noise)

    def _tokens(self, guess: Tensor, doubt: Tensor) -> Tensor:
        few = _pooled(guess, self.facts.tokens)
        tokens = self.embed(few.flatten(2).mT) + self.place
        return torch.cat((tokens, self.tell_doubt(doubt[:, None])[:, None]), dim=1)


def _pooled(features: Tensor, side: int) -> Tensor:
    """Features [B, D, h, w] -> [B, D, side, side]."""
    if features.shape[-1] == side:
        return features
    return F.adaptive_avg_pool2d(features.float(), side)


def _unet(facts: DenoiserFacts) -> Any:
    width, channels = facts.width, facts.bands * facts.patch**2
    plain = facts.levels - 1
    unet = cast(Any, UNet2DConditionModel)(
        sample_size=facts.size // facts.patch,
        in_channels=channels + HINTS,
        out_channels=channels,
        block_out_channels=(width, *(2 * width,) * plain),
        layers_per_block=1,
        down_block_types=(*("DownBlock2D",) * plain, "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", *("UpBlock2D",) * plain),
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,
        norm_num_groups=NORM_GROUPS,
        num_class_embeds=facts.num_classes + 1,
    )
    # The fused attention of CPUs takes longer than all convolutions where tokens are so few.
    unet.set_attn_processor(AttnProcessor())
    return unet


def save_denoiser(path: Path, denoiser: Denoiser, tail_net_sha256: str) -> None:
    """Write a denoiser so that `load_denoiser` can build it again."""
    facts = json.dumps(denoiser.facts._asdict())
    told = {"format": FORMAT, "facts": facts, "tail_net_sha256": tail_net_sha256}
    save_weights(path, denoiser.state_dict(), told)


def load_denoiser(path: Path) -> tuple[Denoiser, str]:
    """Read what `save_denoiser` wrote.

    Returns:
        The denoiser in eval without gradients, and the SHA-256 of the tail net it was trained with.

    Raises:
        NotFoundError: if there is none; says which command makes it.
        UserError: if the file is of another version.
    """
    if not path.is_file():
        raise NotFoundError(f"no denoiser {path}; make it with: tgn train --backend diffusion")
    told = read_metadata(path)
    if told.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {told.get('format')!r}, expected {FORMAT!r}; make it anew with: "
            "tgn train --backend diffusion --no-resume"
        )
    denoiser = Denoiser(DenoiserFacts(**json.loads(told["facts"])))
    load_strictly(denoiser, load_weights(path), str(path))
    return denoiser.eval().requires_grad_(False), told["tail_net_sha256"]
