"""Training images that show rare classes are drawn more often than others."""

import torch
from torch import Tensor

from classify.detection.data.dataset import DetectionDataset
from classify.detection.settings.long_tail import LongTailSettings


class ImageSampling:
    """Draws images with replacement by fixed probabilities.

    Where repeat factors and classes decide, an image is drawn in proportion to how often it would
    be repeated, so that a fraction of a repetition is a probability and no list of an epoch is
    needed. An epoch then is as many draws as there are images.

    Args:
        data: training images, or tiles; at least one with an object.
        settings: how they are drawn, not uniformly.
    """

    def __init__(self, data: DetectionDataset, settings: LongTailSettings) -> None:
        self.settings, self.classes = settings, data.classes
        self.present = classes_present(data)
        self.probabilities = image_probabilities(self.present, settings)
        self._cumulative = self.probabilities.cumsum(0)

    def rows(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the rows [count] of images that are drawn, int64."""
        places = torch.rand(count, generator=rng, dtype=torch.float64) * self._cumulative[-1]
        rows = torch.searchsorted(self._cumulative, places, right=True)
        return rows.clamp(max=len(self.probabilities) - 1)

    def in_words(self) -> str:
        """Return how often images of each class are seen, against drawing uniformly."""
        present = self.present.double()
        counts = present.sum(dim=0)
        factors = len(present) * (self.probabilities @ present) / counts
        seen = ", ".join(
            f"{name} ({int(count)}) x{factor:.2f}"
            for name, count, factor in zip(self.classes, counts, factors.tolist(), strict=True)
            if count
        )
        return f"{self._rule}: images with each class are seen, against uniform, {seen}"

    @property
    def _rule(self) -> str:
        if self.settings.sampling == "class-balanced":
            return "sampling=class-balanced"
        threshold = self.settings.repeat_threshold
        rare = self.present.double().mean(dim=0) < threshold
        at = f"sampling=repeat-factor (repeat_threshold={threshold:g})"
        return at if (rare & self.present.any(dim=0)).any() else f"{at}, below which no class is"


def sampling_in_words(data: DetectionDataset, settings: LongTailSettings) -> str:
    """Return how often images of each class are seen; "" if all images are drawn alike."""
    return "" if settings.sampling == "uniform" else ImageSampling(data, settings).in_words()


def classes_present(data: DetectionDataset) -> Tensor:
    """Return which image has an object of which class, bool [N, C]; crowds are none."""
    present = torch.zeros(len(data.images), len(data.classes), dtype=torch.bool)
    for row, image in enumerate(data.images):
        present[row, image.labels[~image.crowd]] = True
    return present


def image_probabilities(present: Tensor, settings: LongTailSettings) -> Tensor:
    """Return the probability of each image, float64 [N], sum 1.

    Args:
        present: which image has which class, bool [N, C].
        settings: the rule.
    """
    if settings.sampling == "class-balanced":
        return class_balanced_probabilities(present)
    factors = repeat_factors(present, settings.repeat_threshold)
    return factors / factors.sum()


def repeat_factors(present: Tensor, threshold: float) -> Tensor:
    """Return how often each image is repeated, float64 [N], at least 1.

    A class in a share f of the images has r = max(1, sqrt(t / f)), an image the largest r of its
    classes, one without objects 1 (Gupta et al. 2019, arXiv 1908.03195).

    Args:
        present: which image has which class, bool [N, C].
        threshold: t in (0, 1].
    """
    shares = present.double().mean(dim=0)
    of_class = (threshold / shares).sqrt().clamp(min=1)  # of a class without images it is unused
    return torch.where(present, of_class, 1.0).amax(dim=1)


def class_balanced_probabilities(present: Tensor) -> Tensor:
    """Return probabilities, float64 [N], of drawing a class, then an image with it.

    Classes that some image has are drawn alike, and so are the images of the class. Images
    without objects keep the share that they have among all images.

    Args:
        present: which image has which class, bool [N, C].
    """
    counts = present.sum(dim=0)
    used = present[:, counts > 0].double()
    balanced = (used / used.sum(dim=0)).mean(dim=1)
    empty = ~present.any(dim=1)
    share = empty.double().mean()
    return torch.where(empty, 1 / len(present), (1 - share) * balanced)
