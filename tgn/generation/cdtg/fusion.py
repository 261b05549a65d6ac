"""Fusion: an image's features become a latent and a grid, mixed with noise by the ratio r."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tgn.generation.cdtg.layers import EqualizedConv2d, EqualizedLinear, at_least_float32

_EPSILON = 1e-8


def _unit_moment(x: Tensor) -> Tensor:
    """Scale each sample to second moment 1 over all its numbers, as the noise has on average."""
    return x * torch.rsqrt(x.square().flatten(1).mean(dim=1) + _EPSILON).reshape(
        -1, *[1] * (x.ndim - 1)
    )


class Fusion(nn.Module):
    """z = r noise + (1 - r) fused, and the same for the grid.

    The fused vector is a linear map of the pooled features, the fused grid a 1x1 convolution of
    the features pooled to g x g; each is scaled to second moment 1 per sample, the noise's own.
    Features come out of a ReLU, so they share a large mean that would make all fused vectors
    alike: `standardise` removes it.

    Args:
        feature_channels: D of the features.
        style_dim: of z.
        grid_channels: 0 for no grid.
        grid_size: g.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(
        self, feature_channels: int, style_dim: int, grid_channels: int, grid_size: int
    ) -> None:
        super().__init__()
        self.feature_channels, self.style_dim = feature_channels, style_dim
        self.grid_shape = (grid_channels, grid_size, grid_size)
        self.to_vector = EqualizedLinear(feature_channels, style_dim)
        self.to_grid = (
            EqualizedConv2d(feature_channels, grid_channels, 1) if grid_channels else None
        )
        self.register_buffer("feature_mean", torch.zeros(feature_channels))
        self.register_buffer("feature_scale", torch.ones(feature_channels))

    def standardise(self, features: Tensor) -> None:
        """Set mean and scale of each feature channel; call once, before training.

        Args:
            features: [N, D, h, w], a random sample of real features.

        Raises:
            ValueError: for another D.
        """
        self._check_features(features)
        variance, mean = torch.var_mean(at_least_float32(features), dim=(0, 2, 3), correction=0)
        # A constant channel gets scale 0: it carries no information, and 1 / 0 must not appear.
        scale = torch.where(variance > _EPSILON, variance.clamp_min(_EPSILON).rsqrt(), 0.0)
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale)

    def forward(
        self, features: Tensor, noise_z: Tensor, noise_grid: Tensor | None, r: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Mix features and noise.

        Args:
            features: [B, D, h, w].
            noise_z: [B, style_dim], standard normal.
            noise_grid: [B, grid_channels, g, g], second moment 1; None exactly without a grid.
            r: [B] in [0, 1]; 1 is noise alone.

        Returns:
            z [B, style_dim] and grid [B, grid_channels, g, g], or None without a grid.

        Raises:
            ValueError: for wrong shapes or r outside [0, 1].
        """
        self._check(features, noise_z, noise_grid, r)
        pooled = at_least_float32(features).mean(dim=(2, 3))
        vector = self.to_vector((pooled - self.feature_mean) * self.feature_scale)
        vector = _unit_moment(vector)
        z = torch.lerp(vector, noise_z, r[:, None])
        if noise_grid is None:
            return z, None
        return z, torch.lerp(self.fused_grid(features), noise_grid, r[:, None, None, None])

    def fused_grid(self, features: Tensor) -> Tensor:
        """Map features [B, D, h, w] to a grid [B, grid_channels, g, g] of second moment 1 each."""
        if self.to_grid is None:
            raise ValueError("this fusion has no grid")
        mean, scale = (stat[:, None, None] for stat in (self.feature_mean, self.feature_scale))
        standard = (at_least_float32(features) - mean) * scale
        pooled = F.adaptive_avg_pool2d(standard, self.grid_shape[1:])
        return _unit_moment(at_least_float32(self.to_grid(pooled)))

    def _check(
        self, features: Tensor, noise_z: Tensor, noise_grid: Tensor | None, r: Tensor
    ) -> None:
        self._check_features(features)
        batch = features.shape[0]
        if noise_z.shape != (batch, self.style_dim):
            raise ValueError(f"noise_z must be [{batch}, {self.style_dim}], got {noise_z.shape}")
        if self.to_grid is not None:
            expected = (batch, *self.grid_shape)
            if noise_grid is None or noise_grid.shape != expected:
                got = None if noise_grid is None else [*noise_grid.shape]
                raise ValueError(f"noise_grid must be {[*expected]}, got {got}")
        if r.shape != (batch,):
            raise ValueError(f"r must be [{batch}], got {[*r.shape]}")
        is_cheap = r.device.type == "cpu" and not torch.compiler.is_compiling()  # no wait for a GPU
        if is_cheap and not bool(((r >= 0) & (r <= 1)).all()):
            raise ValueError(f"r must lie in [0, 1], got {r.min():.3g} to {r.max():.3g}")

    def _check_features(self, features: Tensor) -> None:
        if features.ndim != 4 or features.shape[1] != self.feature_channels:
            raise ValueError(
                f"features must be [B, {self.feature_channels}, h, w], got {[*features.shape]}"
            )
