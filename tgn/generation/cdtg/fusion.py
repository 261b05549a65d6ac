"""Fusion: an image's features become a latent, mixed with noise by the ratio r."""

import torch
from torch import Tensor, nn

from tgn.generation.cdtg.layers import EqualizedLinear, at_least_float32, pixel_norm

_EPSILON = 1e-8


class Fusion(nn.Module):
    """z = r noise + (1 - r) fused.

    The fused vector is a linear map of the pooled features, scaled to second moment 1 per sample,
    the noise's own. Features come out of a ReLU, so they share a large mean that would make all
    fused vectors alike: `standardise` removes it.

    Args:
        feature_channels: D of the features.
        style_dim: of z.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, feature_channels: int, style_dim: int) -> None:
        super().__init__()
        self.feature_channels, self.style_dim = feature_channels, style_dim
        self.to_vector = EqualizedLinear(feature_channels, style_dim)
        self.register_buffer("feature_mean", torch.zeros(feature_channels))
        self.register_buffer("feature_scale", torch.ones(feature_channels))

    def standardise(self, features: Tensor) -> None:
        """Set mean and scale of each channel of pooled features; call once, before training.

        Args:
            features: [N, D, h, w], a random sample of real features.

        Raises:
            ValueError: for another D.
        """
        self._check_features(features)
        pooled = at_least_float32(features).mean((2, 3))
        variance, mean = torch.var_mean(pooled, dim=0, correction=0)
        # A constant channel gets scale 0: it carries no information, and 1 / 0 must not appear.
        scale = torch.where(variance > _EPSILON, variance.clamp_min(_EPSILON).rsqrt(), 0.0)
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale)

    def pooled(self, features: Tensor) -> Tensor:
        """Return features [B, D, h, w] averaged over places and standardised, [B, D]."""
        self._check_features(features)
        pooled = at_least_float32(features).mean(dim=(2, 3))
        return (pooled - self.feature_mean) * self.feature_scale

    def forward(self, features: Tensor, noise: Tensor, r: Tensor) -> Tensor:
        """Mix features and noise.

        Args:
            features: [B, D, h, w].
            noise: [B, style_dim], standard normal.
            r: [B] in [0, 1]; 1 is noise alone.

        Returns:
            z, [B, style_dim].

        Raises:
            ValueError: for wrong shapes or r outside [0, 1].
        """
        pooled = self.pooled(features)
        self._check(noise, r, len(pooled))
        return torch.lerp(pixel_norm(self.to_vector(pooled)), noise, r[:, None])

    def _check(self, noise: Tensor, r: Tensor, batch: int) -> None:
        if noise.shape != (batch, self.style_dim):
            raise ValueError(f"noise must be [{batch}, {self.style_dim}], got {[*noise.shape]}")
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
