"""ST-LPIPS: LPIPS of a network that small shifts of an image hardly change.

Source: Ghildyal and Liu 2022, "Shift-tolerant perceptual similarity metric" (arXiv 2207.13686);
blur pooling: Zhang 2019, "Making convolutional networks shift-invariant again". The package that
carries the weights is not imported, only its file is read: its modules import packages that it does
not declare, and some of them have a licence that forbids commercial use.
"""

import re
from collections.abc import Iterator, Mapping

import lpips
import torch
from torch import Tensor, nn

from tgn.models.pretrained import PERCEPTUAL, PackagedWeights, file_of
from tgn.runtime.checkpoints import load_strictly, load_weights


class ShiftTolerantLpips(nn.Module):
    """A distance of images: of the outputs of five layers, weighted by channel.

    Args:
        layers: of the network.
        compared: positions of the layers whose outputs are compared.
        widths: their channels.
    """

    def __init__(
        self, layers: nn.Sequential, compared: tuple[int, ...], widths: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.scaling_layer = lpips.ScalingLayer()
        self.layers = layers
        self.compared = compared
        self.lins = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in widths)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return distances [B, 1, 1, 1] of two batches [B, 3, H, W] in [-1, 1]."""
        pairs = zip(self._outputs(first), self._outputs(second), self.lins, strict=True)
        distances = [
            lin((lpips.normalize_tensor(a) - lpips.normalize_tensor(b)).square())
            for a, b, lin in pairs
        ]
        return torch.stack([lpips.spatial_average(each) for each in distances]).sum(0)

    def _outputs(self, images: Tensor) -> Iterator[Tensor]:
        features = self.scaling_layer(images)
        for position, layer in enumerate(self.layers):
            features = layer(features)
            if position in self.compared:
                yield features


def load_shift_tolerant(name: str) -> tuple[ShiftTolerantLpips, PackagedWeights]:
    """Build ST-LPIPS with the weights of an installed package.

    Args:
        name: a key of :data:`tgn.models.pretrained.PERCEPTUAL`.

    Returns:
        The network, frozen and in eval mode, and the entry of the registry.

    Raises:
        UserError: if the package is not installed, or its file is another one.
    """
    entry = PERCEPTUAL[name]
    file = file_of(entry)
    net = _BUILDERS[name]()
    load_strictly(net, _renamed(load_weights(file)), str(file))
    return net.eval().requires_grad_(False), entry


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # net.slice2.5.weight -> layers.5.weight; lin0.model.1.weight -> lins.0.weight. The kernels of
    # blur pooling are called filt.
    return {
        re.sub(
            r"^lin(\d)\.model\.1\.", r"lins.\1.", re.sub(r"^net\.slice\d\.", "layers.", key)
        ).replace(".filt", ".weight"): tensor
        for key, tensor in weights.items()
    }


def _blur_pool(channels: int) -> nn.Conv2d:
    """Return the low-pass filter that halves each side; its kernel is in the file of weights."""
    return nn.Conv2d(
        channels, channels, 3, stride=2, padding=2, padding_mode="reflect",
        groups=channels, bias=False,
    )  # fmt: skip


def _alex() -> ShiftTolerantLpips:
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, padding=2), _blur_pool(64), nn.ReLU(),
        nn.MaxPool2d(3, 1), _blur_pool(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 1), _blur_pool(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
    return ShiftTolerantLpips(layers, (2, 6, 10, 12, 14), (64, 192, 384, 256, 256))


def _vgg() -> ShiftTolerantLpips:
    layers: list[nn.Module] = []
    compared: list[int] = []
    channels, widths = 3, (64, 128, 256, 512, 512)
    for width, depth in zip(widths, (2, 2, 3, 3, 3), strict=True):
        if layers:
            layers += [nn.MaxPool2d(2, 1), _blur_pool(channels)]
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        compared.append(len(layers) - 1)
    return ShiftTolerantLpips(nn.Sequential(*layers), tuple(compared), widths)


_BUILDERS = {"st-alex": _alex, "st-vgg": _vgg}
