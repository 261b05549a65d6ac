"""Features of the training and the test images of a run, and of altered copies of some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.assess.settings import AssessSettings
from tgn.data.image_set import ImageSet
from tgn.data.runs import Run
from tgn.data.split import Part, Split
from tgn.data.splits.folds import group_numbers
from tgn.models.extractors import TensorImages, apply_network
from tgn.models.feature_cache import FeatureCache
from tgn.probe.features import FrozenNetwork, frozen_networks, symmetric_views
from tgn.probe.fit import Normalisation
from tgn.probe.principal_components import principal_basis
from tgn.probe.views import SymmetryViews
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError
from tgn.runtime.progress import Progress, Silent
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
        groups: number of each image's group, as of `ImageSet.groups`.
    """

    files: tuple[str, ...]
    labels: Tensor
    features: Tensor
    groups: Tensor | None = None


@dataclass(frozen=True)
class AssessedImages:
    """All that is known of a run's images.

    Attributes:
        train: training images, with the validation part behind them.
        test: test images.
        copy_distances: between some training images and altered copies of them, [n].
        networks: that gave the features.
        digests: SHA-256 of each file's content.
    """

    train: ImageTable
    test: ImageTable
    copy_distances: Tensor
    networks: tuple[FrozenNetwork, ...]
    digests: Mapping[str, str]

    def reduced(self, dimensions: int) -> "AssessedImages":
        """Return the images with only the largest principal components of their features."""
        basis = principal_basis(self.train.features, dimensions).float()
        train, test = (
            replace(table, features=table.features @ basis) for table in (self.train, self.test)
        )
        return replace(self, train=train, test=test)


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
    rows = torch.randperm(len(sets[known[0]]), generator=generator(settings.seed, "altered copies"))
    rows = rows[:COPIES].sort().values
    copies = _copies(sets[known[0]].batch(rows))
    views = [_copy_views(one, copies, settings, device) for one in networks]
    files, labels = _listed(split, known)
    groups = group_numbers(files, split.groups)
    table = ImageTable(files, labels, normalisation.joined(train)[:, 0], groups)
    test = ImageTable(*_listed(split, [TEST]), normalisation.joined(means[TEST])[:, 0])
    # the first part's images are the first of the table
    distances = (table.features[rows] - normalisation.joined(views)[:, 0]).norm(dim=1)
    hashes = [digest for one in sets.values() for digest in cache.file_hashes(one.files)]
    digests = dict(zip((*table.files, *test.files), hashes, strict=True))
    return AssessedImages(table, test, distances, tuple(networks), digests)


def _listed(split: Split, parts: Sequence[Part]) -> tuple[tuple[str, ...], Tensor]:
    """Return the files and labels of the images of some parts."""
    rows = [row for part in parts for row in getattr(split, part)]
    return tuple(file for file, _ in rows), torch.tensor([label for _, label in rows])


def _mean_views(
    networks: Sequence[FrozenNetwork],
    images: ImageSet,
    settings: AssessSettings,
    cache: FeatureCache,
) -> list[Tensor]:
    """Return the means over symmetries by each network, [N, 1, D] each."""
    tables = symmetric_views(networks, images, settings, cache)
    return [table.mean(1, keepdim=True) for table in tables]


def _copies(originals: Tensor) -> Tensor:
    """Return images shrunk to 3/4 of the side and enlarged again, uint8 [n, bands, H, W]."""
    small = F.interpolate(originals.float(), scale_factor=SHRUNK, mode="bilinear", antialias=True)
    return F.interpolate(small, originals.shape[-2:], mode="bilinear").round().to(torch.uint8)


def _copy_views(
    network: FrozenNetwork, copies: Tensor, settings: AssessSettings, device: Device
) -> Tensor:
    """Return the mean over symmetries of images that are in no file, [n, 1, D]."""
    views = SymmetryViews(network.fast, settings.symmetries).eval()
    features = apply_network(views, TensorImages(copies), device, Silent())
    return features.mean(1, keepdim=True)
