"""Features of the training and the test images of a run, and of altered copies of some."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.assess.settings import AssessSettings
from tgn.data.image_set import ImageSet
from tgn.data.runs import Run
from tgn.data.split import Part
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import FrozenNetwork, frozen_networks, symmetric_views
from tgn.probe.fit import Normalisation
from tgn.probe.views import SymmetryViews
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress
from tgn.runtime.seeds import generator
from tgn.runtime.settings import ComputeSettings

PARTS: tuple[Part, ...] = ("train", "val")
TEST: Part = "test"
COPIES = 48  # images that are altered to see how near a copy lies
SHRUNK = 0.75  # side of a copy before it is enlarged again


@dataclass(frozen=True)
class ImageTable:
    """Images with what a network says of them.

    Attributes:
        files: as the split names them, [N].
        labels: class indices, [N].
        features: unit length, means over symmetries, [N, D].
    """

    files: tuple[str, ...]
    labels: Tensor
    features: Tensor


@dataclass(frozen=True)
class AssessedImages:
    """All that is known of a run's images.

    Attributes:
        train: training images, with the validation part behind them.
        test: test images.
        copy_distances: between some training images and altered copies of them, [n].
        networks: that gave the features.
    """

    train: ImageTable
    test: ImageTable
    copy_distances: Tensor
    networks: tuple[FrozenNetwork, ...]


def read_images(run: Run, settings: AssessSettings, progress: Progress) -> AssessedImages:
    """Return the features of a run's images, from the cache where a probe left them.

    The parts are kept apart in the cache as ``classify probe`` does, so that each finds what the
    other has computed.

    Raises:
        DataError: if a class has no training image.
        UserError: if weights are missing or do not fit.
    """
    split = run.split()
    if empty := [entry.folder for entry in split.classes if entry.train + entry.val == 0]:
        raise DataError(f"{', '.join(empty)}: no training image; every class needs 1 at least")
    networks = frozen_networks(settings, [entry.folder for entry in split.classes])
    device = Device(ComputeSettings(device=settings.device, precision="float32"))
    cache = FeatureCache(run.feature_cache, device, progress)
    known = [part for part in PARTS if getattr(split, part)]
    sets = {
        part: split.image_set(part, run.path, settings.size, settings.bands)
        for part in (*known, TEST)
    }
    means = {part: _mean_views(networks, one, settings, cache) for part, one in sets.items()}
    train = [torch.cat(parts) for parts in zip(*(means[part] for part in known), strict=True)]
    normalisation = Normalisation(
        tuple(table.mean((0, 1)) for table in train), tuple(network.parts for network in networks)
    )

    def table(parts: Sequence[Part], features: Sequence[Tensor]) -> ImageTable:
        files = tuple(file for part in parts for file, _ in getattr(split, part))
        labels = torch.cat([sets[part].labels for part in parts])
        return ImageTable(files, labels, normalisation.joined(features)[:, 0])

    copies = _copy_distances(networks, sets[known[0]], normalisation, settings, device)
    return AssessedImages(table(known, train), table([TEST], means[TEST]), copies, tuple(networks))


def _mean_views(
    networks: Sequence[FrozenNetwork],
    images: ImageSet,
    settings: AssessSettings,
    cache: FeatureCache,
) -> list[Tensor]:
    """Return the means over symmetries by each network, [N, 1, D] each."""
    tables = symmetric_views(networks, images, settings, cache)
    return [table.mean(1, keepdim=True) for table in tables]


@torch.inference_mode()
def _copy_distances(
    networks: Sequence[FrozenNetwork],
    images: ImageSet,
    normalisation: Normalisation,
    settings: AssessSettings,
    device: Device,
) -> Tensor:
    """Return the distances of some images to copies: shrunk to 3/4 of the side, enlarged again."""
    order = torch.randperm(len(images), generator=generator(settings.seed, "altered copies"))
    originals = images.batch(order[:COPIES].sort().values)
    small = F.interpolate(originals.float(), scale_factor=SHRUNK, mode="bilinear", antialias=True)
    copies = F.interpolate(small, originals.shape[-2:], mode="bilinear").round().to(torch.uint8)

    def joined(batch: Tensor) -> Tensor:
        tables = []
        for network in networks:
            views = device.place(SymmetryViews(network.fast, settings.symmetries).eval())
            tables.append(views(device.put(batch)).float().cpu().mean(1, keepdim=True))
        return normalisation.joined(tables)[:, 0]

    return (joined(originals) - joined(copies)).norm(dim=1)
