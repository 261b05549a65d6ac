"""Metrics of image sets given as features, images or folders.

Every function takes each set in one of three forms:

- features: a tensor or array [N, D];
- images: a uint8 tensor or array [N, 3, H, W], or [N, 1, H, W] for grey images;
- a folder of image files (``str`` or ``Path``), with or without class folders. Images that
  ``tgn filter`` has dropped are left out.

Images and folders need ``extractor``: a name as :func:`tgn.models.extractors.load_extractor` takes
(``"resnet50:/path/to/resnet50.safetensors"``), a classifier file of this toolkit, or a callable
from uint8 images [B, 3, H, W] on the CPU to features [B, D]. Folders are read at ``size`` x
``size`` pixels; without ``size`` both sets are read at the side of the first generated image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgn.data.image_folders import FLAT, folder_images, folder_rows, image_side
from tgn.metrics.clip_mmd import clip_mmd
from tgn.metrics.frechet import frechet_distance
from tgn.metrics.kernel import KernelDistance, kernel_distance
from tgn.metrics.memorisation import Memorisation, memorisation
from tgn.metrics.pair_diversity import feature_pair_distances
from tgn.metrics.precision_and_recall import NEIGHBOURS, neighbour_balls
from tgn.metrics.statistics import FeatureStatistics
from tgn.metrics.vendi_score import vendi_score
from tgn.models.extractors import BATCH_SIZE, CHOICES, Extractor, Images, load_extractor
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings

__all__ = [
    "KernelDistance",
    "Memorisation",
    "PrecisionRecall",
    "cmmd",
    "copies",
    "diversity",
    "extract_features",
    "fid",
    "kid",
    "precision_recall",
    "vendi",
]


class ArrayLike(Protocol):
    """Anything that numpy turns into an array, e.g. what a generator of this toolkit returns."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...


Array = NDArray[np.generic]
ImageData = Tensor | Array | ArrayLike | str | Path
FeatureFunction = Callable[[Tensor], Tensor | Array]
DeviceName = Literal["auto", "cpu", "cuda"]


class PrecisionRecall(NamedTuple):
    """How far two sets cover one another.

    Attributes:
        precision: share of generated images inside a ball of some real image, 0 to 1.
        recall: share of real images inside a ball of some generated image, 0 to 1.
        density: real balls a generated image lies in, over k; >= 0, about 1 for equal sets.
        coverage: share of real images whose own ball holds a generated image, 0 to 1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def extract_features(
    images: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
) -> Tensor:
    """Return the features of a set, to compute several metrics from one extraction.

    Args:
        images: features, images or a folder; features are returned as they are.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which a folder is read; None is that of its first image.
        device: where a named extractor computes; auto takes a GPU if any.

    Returns:
        [N, D] on the CPU, float32 or float64.

    Raises:
        UserError: for another shape, a missing extractor, an empty folder or an unreadable file.
    """
    return _Sets(extractor, size, device).features(images)


def kid(
    generated: ImageData,
    real: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
    seed: int = 0,
) -> KernelDistance:
    """Return the kernel inception distance (KID) and its standard error.

    Args:
        generated: features, images or a folder, N >= 2.
        real: the same of the real images, M >= 2.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which folders are read.
        device: where a named extractor computes; auto takes a GPU if any.
        seed: of the random subsets.

    Returns:
        Unbiased, around 0 for sets of one distribution; ``float()`` of it is the value.

    Raises:
        ValueError: for wrong shapes, missing extractor, non-finite features or too few images.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.
    """
    sets = _Sets(extractor, size, device)
    return kernel_distance(*sets.pair(generated, real), seed)


def fid(
    generated: ImageData,
    real: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
) -> float:
    """Return the Fréchet inception distance (FID).

    It is biased upwards for few images, by an amount that depends on their number: papers use
    10,000 or more, and ``tgn score`` reports none below 2,048. Use :func:`kid` for fewer.

    Args:
        generated: features, images or a folder, N >= 2.
        real: the same of the real images, M >= 2.
        extractor: a name, a classifier file or a callable; FID's own is ``inception:FILE``.
        size: side in pixels at which folders are read.
        device: where a named extractor computes; auto takes a GPU if any.

    Returns:
        The distance, >= 0, in squared units of the features.

    Raises:
        ValueError: for wrong shapes, missing extractor, non-finite features or too few images.

    Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6.
    """
    ours, theirs = _Sets(extractor, size, device).pair(generated, real)
    return frechet_distance(FeatureStatistics.of(ours), FeatureStatistics.of(theirs))


def precision_recall(
    generated: ImageData,
    real: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
    k: int = NEIGHBOURS,
) -> PrecisionRecall:
    """Return precision, recall, density and coverage by nearest-neighbour balls.

    Args:
        generated: features, images or a folder, N > k.
        real: the same of the real images, M > k.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which folders are read.
        device: where a named extractor computes; auto takes a GPU if any.
        k: the ball around an image reaches to its k-th neighbour in its own set.

    Raises:
        ValueError: for wrong shapes, missing extractor, non-finite features or too few images.

    Source: Kynkäänniemi et al. 2019 (arXiv 1904.06991); Naeem et al. 2020 (arXiv 2002.09797).
    """
    balls = neighbour_balls(*_Sets(extractor, size, device).pair(generated, real), k)
    return PrecisionRecall(balls.precision, balls.recall, balls.density, balls.coverage)


def vendi(
    images: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
) -> float:
    """Return the Vendi score: the effective number of different images in one set.

    Args:
        images: features, images or a folder.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which a folder is read; None is that of its first image.
        device: where a named extractor computes; auto takes a GPU if any.

    Returns:
        From 1 to min(N, D); it grows with N: compare only sets of the same size.

    Raises:
        ValueError: for a wrong shape, missing extractor or non-finite features.

    Source: Friedman and Dieng 2023, "The Vendi Score" (arXiv 2210.02410).
    """
    return vendi_score(_Sets(extractor, size, device).features(images))


def cmmd(
    generated: ImageData,
    real: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
) -> float:
    """Return the CLIP maximum mean discrepancy (CMMD).

    Args:
        generated: CLIP image embeddings, images or a folder, N >= 2.
        real: the same of the real images, M >= 2.
        extractor: a CLIP, ``clip/ARCH:FILE``, or a callable that returns its embeddings.
        size: side in pixels at which folders are read.
        device: where a named extractor computes; auto takes a GPU if any.

    Returns:
        From 0 to about 40, no unit.

    Raises:
        ValueError: for an extractor that is no CLIP, wrong shapes or too few images.

    Source: Jayasumana et al. 2024, "Rethinking FID" (arXiv 2401.09603).
    """
    if isinstance(extractor, str | Path) and not str(extractor).startswith("clip/"):
        raise UserError(
            f"CMMD got extractor {str(extractor)!r}, expected a CLIP: clip/ARCH:FILE, e.g. "
            "clip/ViT-B-32:/path/to/file"
        )
    return clip_mmd(*_Sets(extractor, size, device).pair(generated, real))


def diversity(
    images: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
    seed: int = 0,
) -> float:
    """Return the mean Euclidean distance of two images of one set in feature space.

    Divide it by that of the real images: 1 is as diverse as they are, 0 is a collapsed set.

    Args:
        images: features, images or a folder, N >= 2; of one class, else it measures the classes.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which a folder is read; None is that of its first image.
        device: where a named extractor computes; auto takes a GPU if any.
        seed: of the random pairs, where a set has more than 20,000.

    Raises:
        ValueError: for a wrong shape, missing extractor, non-finite features or one image.
    """
    features = _Sets(extractor, size, device).features(images)
    return feature_pair_distances(features, seed).mean


def copies(
    generated: ImageData,
    real: ImageData,
    extractor: str | Path | FeatureFunction | None = None,
    size: int | None = None,
    device: DeviceName = "auto",
    percentile: float = 1.0,
) -> Memorisation:
    """Return which generated images are suspected copies of real training images.

    Args:
        generated: features, images or a folder, N >= 1.
        real: the same of the real training images, M >= 2.
        extractor: a name, a classifier file or a callable.
        size: side in pixels at which folders are read.
        device: where a named extractor computes; auto takes a GPU if any.
        percentile: of the real images' distances to their nearest other one, 0 to 100; an image
            at or below it is suspected.

    Returns:
        ``share`` of suspected copies, ``is_copy`` [N], and the nearest real image of each.

    Raises:
        ValueError: for wrong shapes, missing extractor, non-finite features or too few images.
    """
    return memorisation(*_Sets(extractor, size, device).pair(generated, real), percentile)


@dataclass(frozen=True)
class _TensorImages:
    """Images in memory, read in batches."""

    images_u8: Tensor  # [N, bands, H, W]

    def __len__(self) -> int:
        return len(self.images_u8)

    def batch(self, index: Tensor) -> Tensor:
        return self.images_u8[index]


class _Sets:
    """Turns sets of any form into features, with one extractor."""

    def __init__(
        self,
        extractor: str | Path | FeatureFunction | None,
        size: int | None,
        device: DeviceName,
    ) -> None:
        self._given, self._size, self._device = extractor, size, device
        self._loaded: Extractor | None = None

    def pair(self, generated: ImageData, real: ImageData) -> tuple[Tensor, Tensor]:
        """Return the features of both; folders are read at the side of the first."""
        if self._size is None:
            self._size = _side(generated)
        return self.features(generated), self.features(real)

    def features(self, data: ImageData) -> Tensor:
        if isinstance(data, str | Path):
            return self._extract(self._folder(Path(data)))
        table = _tensor(data)
        if table.ndim == 2:
            return table if table.dtype == torch.float64 else table.float()
        if table.ndim != 4 or table.dtype != torch.uint8:
            raise UserError(
                f"got {table.dtype} {[*table.shape]}; expected features [N, D], or uint8 images "
                "[N, 3, H, W] or [N, 1, H, W]"
            )
        return self._extract(_TensorImages(_with_bands(table, self._bands)))

    @property
    def _bands(self) -> int:
        extractor = self._extractor()
        return extractor.network.bands if isinstance(extractor, Extractor) else 3

    def _extractor(self) -> Extractor | FeatureFunction:
        if self._given is None:
            raise UserError(
                f"images need an extractor; give extractor=... with {CHOICES}, or a callable from "
                "uint8 images [B, 3, H, W] to features [B, D]"
            )
        if not isinstance(self._given, str | Path):
            return self._given
        if self._loaded is None:
            self._loaded = load_extractor(self._given)
        return self._loaded

    def _folder(self, folder: Path) -> Images:
        bands, rows = self._bands, folder_rows(folder)
        size = self._size or image_side(folder / rows[0].file)
        return folder_images(folder, rows, [FLAT], size, bands)

    def _extract(self, images: Images) -> Tensor:
        if len(images) == 0:
            raise UserError("got 0 images, expected one or more")
        extractor = self._extractor()
        if isinstance(extractor, Extractor):
            device = Device(ComputeSettings(device=self._device, precision="float32"))
            return extractor.features(images, device, Silent())
        return _apply(extractor, images)


def _with_bands(images_u8: Tensor, bands: int) -> Tensor:
    """Return images [N, bands, H, W]; grey ones are repeated over three bands."""
    if images_u8.shape[1] not in (bands, 1 if bands == 3 else bands):
        raise UserError(
            f"got images {[*images_u8.shape]}, expected [N, {bands}, H, W] for this extractor"
        )
    return images_u8.expand(-1, bands, -1, -1)


@torch.no_grad()
def _apply(extract: FeatureFunction, images: Images) -> Tensor:
    """Return a callable's features of all images, batch by batch."""
    parts = []
    for rows in torch.arange(len(images)).split(BATCH_SIZE):
        part = _tensor(extract(images.batch(rows)))
        if part.ndim != 2 or len(part) != len(rows):
            raise UserError(
                f"the extractor returned {[*part.shape]} for {len(rows)} images, expected "
                f"[{len(rows)}, D]"
            )
        parts.append(part)
    table = torch.cat(parts)
    return table if table.dtype == torch.float64 else table.float()


def _tensor(data: Tensor | Array | ArrayLike) -> Tensor:
    if isinstance(data, Tensor):
        return data.detach().cpu()
    if hasattr(data, "__array__"):
        return torch.from_numpy(np.require(np.asarray(data), requirements=["C", "W"]))
    raise UserError(f"got {type(data).__name__}, expected a tensor, an array or a folder")


def _side(data: ImageData) -> int | None:
    """Return the side of the first image in pixels; None for features."""
    if isinstance(data, str | Path):
        folder = Path(data)
        return image_side(folder / folder_rows(folder)[0].file)
    table = _tensor(data)
    return max(table.shape[2:]) if table.ndim == 4 else None
