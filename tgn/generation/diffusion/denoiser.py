"""The denoiser: noisy images, timestep, class and tail features in, clean images out."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.diffusion.schedule import ddim, image_from_velocity
from tgn.generation.diffusion.settings import DiffusionTrainSettings
from tgn.generation.feature_noise import FeatureNoise
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError

FORMAT = "tgn-diffusion-2"
CONTEXT = 64  # channels of a token
HINTS = 48  # channels of the source's features that are concatenated to the image
NORM_GROUPS = 8
LARGEST_FINE = 64  # larger images are cut into larger patches, to limit the cost
COARSEST = 4  # positions of a side at the lowest level, where attention is
TOKENS = 4  # tokens of a side; the exact layout is read from the concatenated features

PredictionType = Literal["image", "velocity"]


class DenoiserFacts(NamedTuple):
    """What a denoiser is built from, and rebuilt from its file."""

    size: int  # side of images in pixels
    bands: int
    width: int  # channels at full resolution
    num_classes: int
    feature_channels: int  # D of the tail net
    grid_size: int  # g of its features
    prediction_type: PredictionType = "image"

    @property
    def patch(self) -> int:
        """Side of the squares of pixels that are one position of the network."""
        return 4 if self.size <= LARGEST_FINE else 8

    @property
    def tokens(self) -> int:
        """Side of the grid of tokens that describe the source."""
        return min(self.grid_size, TOKENS)

    @property
    def levels(self) -> int:
        """Number of resolutions of the network."""
        return (self.size // self.patch // COARSEST).bit_length()


class Conditioning(NamedTuple):
    """The source images that samples are conditioned on."""

    features: Tensor  # of the tail net, [B, D, h, w]
    noise: Tensor  # standard normal, [B, D, g, g]
    noise_level: Tensor  # share of noise in the features, [B] in [0, 1]


class Denoiser(nn.Module):
    """A UNet of diffusers over patches of pixels, conditioned on class and source features.

    The features enter twice: through cross-attention, and concatenated to the image, from which
    the layout is learned much sooner. Noise is added to them (conditioning augmentation, Ho et al.
    2021, arXiv 2106.15282): the network reads the best linear estimate of the standardised
    features f from sqrt(1 - d^2) f + d noise, so that at noise level d = 1 nothing of them is left.
    d is given by a token of its own, and training covers all of [0, 1]. For sampling, the features
    are interpolated with random ones of the class by the ratio r; at r = 1 nothing of the source
    is left.

    The UNet's output is the clean image, or the velocity from which it follows. Images lie near a
    manifold of few dimensions and velocities do not, so that a narrow network over large patches
    learns them sooner (Li and He 2025, arXiv 2511.13720).

    The names of layers are those in saved files: ``made_up`` are the random features, ``place``
    the position embedding, ``tell_doubt`` the embedding of the noise level.

    Args:
        facts: of the network.
    """

    mean: Tensor
    std: Tensor
    image_mean: Tensor
    image_std: Tensor
    alpha_bar: Tensor

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
        self.register_buffer("alpha_bar", ddim().alphas_cumprod, persistent=False)

    @property
    def null_class(self) -> int:
        """The label of images without class."""
        return self.facts.num_classes

    def fit(self, features: Tensor, labels: Tensor, images_pm1: Tensor) -> None:
        """Set the statistics of real features and images; call once, before training.

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

    def interpolate_features(
        self, features: Tensor, labels: Tensor, noise: Tensor, ratio: float
    ) -> Tensor:
        """Interpolate between the features of a source and random ones of its class.

        Args:
            features: [B, D, h, w].
            labels: [B].
            noise: standard normal, [B, VARIATIONS].
            ratio: r in [0, 1]: 0 keeps the source's features, 1 ignores them.

        Returns:
            [B, D, g, g].
        """
        return _pooled(features, self.facts.grid_size).lerp(self.made_up(noise, labels), ratio)

    def encode(self, images_pm1: Tensor) -> Tensor:
        """Standardise images to mean 0 and variance 1, as the noise schedule assumes."""
        return (images_pm1 - self.image_mean) / self.image_std

    def decode(self, images: Tensor) -> Tensor:
        """Invert `encode`; the result is in about [-1, 1]."""
        return images * self.image_std + self.image_mean

    def forward(
        self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, labels: Tensor
    ) -> Tensor:
        """Return the expected clean images, encoded, [B, bands, H, W].

        Args:
            noisy: encoded images with noise, [B, bands, H, W].
            timesteps: [B] in [0, 1000).
            conditioning: source of each image.
            labels: classes, or `null_class`, [B].
        """
        patches = F.pixel_unshuffle(noisy, self.facts.patch)  # [B, bands p^2, H / p, W / p]
        estimate = self._estimated_features(conditioning)  # [B, D, g, g]
        hints = F.interpolate(self.hint(estimate), patches.shape[2:], mode="bilinear")
        inputs = torch.cat((patches, hints), dim=1).contiguous(memory_format=torch.channels_last)
        tokens = self._tokens(estimate, conditioning.noise_level)  # [B, tokens + 1, CONTEXT]
        output = self.unet(inputs, timesteps, tokens, class_labels=labels).sample
        output = F.pixel_shuffle(output.float(), self.facts.patch)
        if self.facts.prediction_type == "image":
            return output
        return image_from_velocity(noisy, output, self.alpha_bar[timesteps].view(-1, 1, 1, 1))

    def _estimated_features(self, conditioning: Conditioning) -> Tensor:
        """Return the best linear estimate of the standardised features from noisy ones."""
        level = conditioning.noise_level.view(-1, 1, 1, 1)
        features = (_pooled(conditioning.features, self.facts.grid_size) - self.mean) / self.std
        scale = (1 - level.square()).sqrt()
        return scale * (scale * features + level * conditioning.noise)

    def _tokens(self, estimate: Tensor, noise_level: Tensor) -> Tensor:
        coarse = _pooled(estimate, self.facts.tokens)
        tokens = self.embed(coarse.flatten(2).mT) + self.place
        return torch.cat((tokens, self.tell_doubt(noise_level[:, None])[:, None]), dim=1)


def _pooled(features: Tensor, side: int) -> Tensor:
    """Average features [B, D, h, w] to [B, D, side, side]."""
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
    # With so few tokens, fused attention on CPUs takes longer than all convolutions.
    unet.set_attn_processor(AttnProcessor())
    return unet


def save_denoiser(path: Path, denoiser: Denoiser, tail_net_sha256: str, **metadata: str) -> None:
    """Write a denoiser so that `load_denoiser` can build it again; ``metadata`` is added."""
    facts = json.dumps(denoiser.facts._asdict())
    header = {"format": FORMAT, "facts": facts, "tail_net_sha256": tail_net_sha256}
    save_weights(path, denoiser.state_dict(), header | metadata)


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
    header = read_metadata(path)
    if header.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {header.get('format')!r}, expected {FORMAT!r}; make it anew with: "
            "tgn train --backend diffusion --no-resume"
        )
    facts = DiffusionTrainSettings.with_new_names(json.loads(header["facts"]))
    denoiser = Denoiser(DenoiserFacts(**facts))
    load_strictly(denoiser, load_weights(path), str(path))
    return denoiser.eval().requires_grad_(False), header["tail_net_sha256"]
