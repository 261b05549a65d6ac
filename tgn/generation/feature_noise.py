"""Random features of a class: its mean plus random combinations of its images' deviations."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VARIATIONS = 16  # deviations kept of each class


class FeatureNoise(nn.Module):
    """Generator of feature maps that no image has: class mean + weighted deviations from it.

    White noise in place of spatial features is unlike any image's features, and a short training
    does not learn to decode it. A variation is the deviation of one image's features from the mean
    of its class. Weights are of either sign and of unit length together, so that mean and
    covariance are those of the class. (Variations of head classes for the tail, after Yin et al.
    2019, arXiv 1803.09014, were tried: generated images looked like the other class.)

    Args:
        num_classes: C.
        feature_channels: D.
        grid_size: g; features are pooled to g x g.
    """

    means: Tensor
    variations: Tensor

    def __init__(self, num_classes: int, feature_channels: int, grid_size: int) -> None:
        super().__init__()
        shape = (feature_channels, grid_size, grid_size)
        self.register_buffer("means", torch.zeros(num_classes, *shape))
        # Those of class k are rows 16 k to 16 k + 15: four axes, as channels_last wants them.
        self.register_buffer("variations", torch.zeros(num_classes * VARIATIONS, *shape))

    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Set means and variations; call once, before training.

        Args:
            features: of real images in random order, [N, D, h, w].
            labels: their classes, [N]; a class without images gets the mean of all.
        """
        grid = F.adaptive_avg_pool2d(features.float(), self.means.shape[-1])
        self.means.copy_(grid.mean(0).expand_as(self.means))
        for label in torch.unique(labels).tolist():
            own = grid[labels == label]
            self.means[label] = own.mean(0)
            rows = torch.arange(VARIATIONS) % len(own)
            first = label * VARIATIONS
            self.variations[first : first + VARIATIONS] = own[rows] - own.mean(0)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Map noise [B, 16], standard normal, and classes [B] to features [B, D, g, g]."""
        weights = F.normalize(noise, dim=1)
        rows = labels[:, None] * VARIATIONS + torch.arange(VARIATIONS, device=labels.device)
        # Weights over the variations of all classes: one product in place of 16 copies an image.
        spread = weights.new_zeros(len(weights), len(self.variations)).scatter(1, rows, weights)
        varied = spread @ self.variations.flatten(1)
        return self.means[labels] + varied.view(-1, *self.means.shape[1:])
