"""The images of which ``verdict_check.py`` draws its splits: pixels and features, computed once."""

from pathlib import Path
from typing import NamedTuple

import torch
from assess_data import made_run
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.split import Part
from tgn.models.extractors import TensorImages, apply_network
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import FrozenNetwork, frozen_networks, symmetric_views
from tgn.probe.settings import FeatureSettings
from tgn.probe.views import SymmetryViews
from tgn.runtime.console import TerminalProgress
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings

DRAWN_SIDE = 64  # pixels
DEVICE = Device(ComputeSettings(device="cpu", precision="float32"))


class Pool(NamedTuple):
    """The real images of one data set, training and test parts together.

    Attributes:
        views: features of symmetries, [N, V, D].
        pixels: uint8 [N, 3, 64, 64].
        labels: [N].
        network: that gave the features.
    """

    views: Tensor
    pixels: Tensor
    labels: Tensor
    network: FrozenNetwork

    def views_of(self, drawings: Tensor) -> Tensor:
        """Return the features of uint8 images [M, 3, 64, 64]: [M, V, D]."""
        side = self.network.net.facts.size
        larger = torch.nn.functional.interpolate(
            drawings.float(), (side, side), mode="bicubic", align_corners=False
        )
        images = TensorImages(larger.round().clamp(0, 255).to(torch.uint8))
        views = SymmetryViews(self.network.fast, self.views.shape[1]).eval()
        return apply_network(views, images, DEVICE, Silent())


def load_pool(name: str, symmetries: int) -> Pool:
    """Return the images of a data set; its run is made if it is not there.

    Args:
        name: as of ``assess_data.py``, or a ``.pt`` file that holds one.
        symmetries: views of an image.
    """
    if name.endswith(".pt"):
        return _from_file(Path(name), symmetries)
    made = made_run(name)
    split = made.split()
    settings = FeatureSettings(symmetries=symmetries)
    networks = frozen_networks(settings, [entry.folder for entry in split.classes])
    cache = FeatureCache(made.feature_cache, DEVICE, TerminalProgress())
    parts: tuple[Part, ...] = ("train", "val", "test")
    known = [part for part in parts if getattr(split, part)]

    def images(part: Part, size: int) -> ImageSet:
        return split.image_set(part, made.path, size)

    def pixels(part: Part) -> Tensor:
        small = images(part, DRAWN_SIDE)
        return small.batch(torch.arange(len(small)))

    views = [
        symmetric_views(networks, images(part, settings.size), settings, cache) for part in known
    ]
    return Pool(
        torch.cat([table for (table,) in views]),
        torch.cat([pixels(part) for part in known]),
        torch.cat([images(part, DRAWN_SIDE).labels for part in known]),
        networks[0],
    )


def _from_file(path: Path, symmetries: int) -> Pool:
    """Return a pool that was kept: a dictionary with ``x``, ``px``, ``y`` and ``classes``."""
    kept = torch.load(path, weights_only=True)
    (network,) = frozen_networks(FeatureSettings(symmetries=symmetries), kept["classes"])
    return Pool(kept["x"][:, :symmetries].clone(), kept["px"], kept["y"], network)
