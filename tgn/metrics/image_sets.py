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

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tgn.metrics.clip_mmd import clip_mmd
from tgn.metrics.feature_sets import FeatureFunction, FeatureSets, ImageData
from tgn.metrics.frechet import frechet_distance
from tgn.metrics.kernel import KernelDistance, kernel_distance
from tgn.metrics.memorisation import Memorisation, memorisation
from tgn.metrics.pair_diversity import feature_pair_distances
from tgn.metrics.precision_and_recall import NEIGHBOURS, neighbour_balls
from tgn.metrics.statistics import FeatureStatistics
from tgn.metrics.vendi_score import vendi_score
from tgn.runtime.errors import UserError
from tgn.runtime.settings import DeviceName

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
    return FeatureSets(extractor, size, device).features(images)


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
    sets = FeatureSets(extractor, size, device)
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
    ours, theirs = FeatureSets(extractor, size, device).pair(generated, real)
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
    balls = neighbour_balls(*FeatureSets(extractor, size, device).pair(generated, real), k)
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
    return vendi_score(FeatureSets(extractor, size, device).features(images))


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
    return clip_mmd(*FeatureSets(extractor, size, device).pair(generated, real))


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
    features = FeatureSets(extractor, size, device).features(images)
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
    return memorisation(*FeatureSets(extractor, size, device).pair(generated, real), percentile)
