"""The autoencoder: images to small latents and back."""

import json
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.runtime.bounds import Bands
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import UserError
from tgn.runtime.rebuilt import facts_from, rebuilt

FORMAT = "tgn-autoencoder-1"
WIDTH = 48  # channels at the finer of the two resolutions
NORM_GROUPS = 8
SIDE = 16  # positions of a side, whatever the size of images: the cost does not grow with it
_EPSILON = 1e-6


class AutoencoderFacts(NamedTuple):
    """What an autoencoder is built from, and rebuilt from its file."""

    size: Annotated[int, Field(ge=32, le=1024, multiple_of=32)]  # side of images in pixels
    bands: Bands

    @property
    def factor(self) -> int:
        """Pixels of a side that become one position."""
        return self.size // SIDE

    @property
    def channels(self) -> int:
        """Channels of the latents: at 64 px three numbers become one."""
        return 4 * self.factor


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; it starts as the identity.

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Autoencoder(nn.Module):
    """A convolutional autoencoder whose latents have second moment 1, image by image.

    The pixels of a patch become channels first, so that the cost does not grow with the image.
    Sources: latent diffusion (Rombach et al. 2022, arXiv 2112.10752). Differs from the paper: no
    distribution over latents; they are scaled, and noise is added to them in training.

    Args:
        facts: of the images.
    """

    def __init__(self, facts: AutoencoderFacts) -> None:
        super().__init__()
        self.facts = facts
        patch, wide = facts.factor // 2, 2 * WIDTH
        pixels = facts.bands * patch**2
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(patch),
            nn.Conv2d(pixels, WIDTH, 3, padding=1),
            ResidualBlock(WIDTH),
            nn.Conv2d(WIDTH, wide, 4, stride=2, padding=1),
            ResidualBlock(wide),
            ResidualBlock(wide),
            nn.GroupNorm(NORM_GROUPS, wide),
            nn.SiLU(),
            nn.Conv2d(wide, facts.channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(facts.channels, wide, 3, padding=1),
            ResidualBlock(wide),
            ResidualBlock(wide),
            ResidualBlock(wide),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(wide, WIDTH, 3, padding=1),
            ResidualBlock(WIDTH),
            ResidualBlock(WIDTH),
            nn.GroupNorm(NORM_GROUPS, WIDTH),
            nn.SiLU(),
            nn.Conv2d(WIDTH, pixels, 3, padding=1),
            nn.PixelShuffle(patch),
        )

    def encode(self, images_pm1: Tensor) -> Tensor:
        """Map images [B, bands, S, S] to latents [B, channels, 16, 16]."""
        latents = self.encoder(images_pm1).float()
        moment = latents.square().mean((1, 2, 3), keepdim=True)
        return latents * torch.rsqrt(moment + _EPSILON)

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents to images_pm1, about in [-1, 1] but unbounded."""
        return self.decoder(latents).float()


def save_autoencoder(path: Path, network: Autoencoder, training: str) -> None:
    """Write an autoencoder so that `load_autoencoder` can build it again.

    Args:
        path: of the file.
        network: with the weights to use.
        training: settings of its training, as text.
    """
    facts = json.dumps(network.facts._asdict())
    header = {"format": FORMAT, "facts": facts, "training": training}
    save_weights(path, network.state_dict(), header)


def load_autoencoder(path: Path) -> tuple[Autoencoder, str]:
    """Read what `save_autoencoder` wrote.

    Returns:
        The autoencoder, in eval mode and without gradients, and the settings of its training.

    Raises:
        UserError: if it is no such file, or damaged.
    """
    header = read_metadata(path)
    if header.get("format") != FORMAT:
        raise UserError(f"{path} has format {header.get('format')!r}, expected {FORMAT!r}")
    facts = facts_from(path, header, AutoencoderFacts)
    network = rebuilt(lambda: Autoencoder(facts), load_weights(path), str(path))
    return network.eval().requires_grad_(False), header.get("training", "")
