"""Features of image sets for a probe: which networks, their views, and the cache on disk."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.models.backbones import TappedNet, build_backbone, freeze
from tgn.models.extractors import Extractor
from tgn.models.feature_cache import FeatureCache
from tgn.models.feature_networks import FeatureNetwork
from tgn.models.settings import PACKAGED, BackboneSettings
from tgn.probe.settings import FeatureSettings
from tgn.probe.views import CropViews, SymmetryViews, folded
from tgn.runtime.checkpoints import sha256_of_weights


class FrozenNetwork(NamedTuple):
    """A frozen network and what identifies its weights."""

    name: str
    net: TappedNet  # as built
    fast: TappedNet  # the same function, for computing
    sha256: str

    @property
    def parts(self) -> tuple[int, ...]:
        """How many features each part has that a probe reads."""
        size, bands = self.net.facts.size, self.net.facts.bands
        with torch.inference_mode():
            pooled = self.net.pooled(torch.zeros(1, bands, size, size))
        return tuple(part.shape[1] for part in pooled)

    def table(self, cache: FeatureCache, views: FeatureNetwork, images: ImageSet) -> Tensor:
        """Return the features of views [N, V, D], from the cache where they are known."""
        extractor = Extractor(self.name, sum(self.parts), self.sha256, views.eval())
        return cache.features(extractor, images)


def frozen_networks(settings: FeatureSettings, folders: Sequence[str]) -> list[FrozenNetwork]:
    """Build the networks that the settings name, ``ARCH`` or ``ARCH:FILE``.

    Raises:
        UserError: for an unknown network, a package that is not installed or a file that does not
            fit.
    """
    return [
        _frozen(part.strip(), settings, tuple(folders)) for part in settings.networks.split(",")
    ]


def _frozen(given: str, settings: FeatureSettings, folders: tuple[str, ...]) -> FrozenNetwork:
    arch, _, file = given.partition(":")
    backbone = BackboneSettings(
        arch=arch, weights=file or PACKAGED, size=settings.size, bands=settings.bands
    )
    return frozen_network(backbone, folders)


def frozen_network(backbone: BackboneSettings, folders: tuple[str, ...]) -> FrozenNetwork:
    """Build a network with its weights, frozen.

    Raises:
        UserError: see :func:`tgn.models.backbones.build_backbone`.
    """
    torch.manual_seed(0)  # of the last layer, which is not used but saved and hashed
    net = freeze(build_backbone(backbone, folders))
    return FrozenNetwork(backbone.arch, net, freeze(folded(net)), sha256_of_weights(net))


def training_views(
    networks: Sequence[FrozenNetwork],
    images: ImageSet,
    settings: FeatureSettings,
    cache: FeatureCache,
) -> list[Tensor]:
    """Return the features of symmetries, then crops, of each network: [N, V, D] each."""
    tables = symmetric_views(networks, images, settings, cache)
    if settings.crops == 0:
        return tables
    cropped = [
        network.table(
            cache,
            CropViews(network.fast, settings.crops, settings.smallest_crop, settings.seed),
            images,
        )
        for network in networks
    ]
    return [torch.cat(pair, dim=1) for pair in zip(tables, cropped, strict=True)]


def symmetric_views(
    networks: Sequence[FrozenNetwork],
    images: ImageSet,
    settings: FeatureSettings,
    cache: FeatureCache,
) -> list[Tensor]:
    """Return the features of symmetries of each network: [N, S, D] each."""
    return [
        network.table(cache, SymmetryViews(network.fast, settings.symmetries), images)
        for network in networks
    ]
