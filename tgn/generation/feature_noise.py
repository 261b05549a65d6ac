"""Noise shaped like features: between the mean of a class and its images, somewhere new."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VARIATIONS = 16  # kept of each class
SPARSITY = 3  # weights are |n|^3: a few variations lead, and what they show stays visible


class FeatureNoise(nn.Module):
    """Draws feature maps that no image has: mean of the class + weighted variations of it.

    White noise in place of spatial features decodes to nothing an image ever held, and a short
    training does not learn to. A variation is what sets one image's features apart from the mean
    of its class. (Variations borrowed from other classes, as Yin et al. 2019, arXiv 1803.09014,
    lend the tail the variance of the head, were tried: drawings took on the other class.)

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
        """Remember means and variations; call once, before training.

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
        """Noise [B, 16], standard normal, and classes [B] -> features [B, D, g, g]."""
        weights = F.normalize(noise.abs() ** SPARSITY, dim=1)
        rows = labels[:, None] * VARIATIONS + torch.arange(VARIATIONS, device=labels.device)
        # Weights among those of all classes: one product, in place of a copy of 16 maps an image.
        spread = weights.new_zeros(len(weights), len(self.variations)).scatter(1, rows, weights)
        varied = spread @ self.variations.flatten(1)
        return self.means[labels] + varied.view(-1, *self.means.shape[1:])
