"""Which images a step sees: real ones, and generated ones where a class has them."""

from typing import Literal

import torch
from torch import Tensor

from tgn.core.data import ImageSet
from tgn.core.errors import DataError
from tgn.core.seeds import generator

Sampling = Literal["random", "class-balanced"]


class ClassRows:
    """Rows of an image set, looked up by class."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        self.order = labels.argsort(stable=True)
        self.counts = torch.bincount(labels, minlength=classes)
        self.starts = self.counts.cumsum(0) - self.counts

    def pick(self, labels: Tensor, uniform: Tensor) -> Tensor:
        """Return a random row of each wanted class; ``uniform`` [B] lies in [0, 1)."""
        place = (uniform * self.counts[labels]).long().clamp(max=self.counts[labels] - 1)
        return self.order[self.starts[labels] + place]


class Mixture:
    """Draws the batch of a step as a function of (seed, step).

    First a class is drawn for every place: uniformly (class-balanced), or as often as the class
    has images (random), where generated images count until the class is as large as the largest
    real one: they fill up the histogram and never turn it over. Then, if the class has generated
    images, the place gets one of them with probability ``share``, else a real one.

    Args:
        real: the training part.
        generated: generated images of some classes, or None.
        sampling: how classes are drawn.
        share: in [0, 1].
        classes: C.
    """

    def __init__(
        self,
        real: ImageSet,
        generated: ImageSet | None,
        sampling: Sampling,
        share: float,
        classes: int,
    ) -> None:
        self.real, self.generated, self.share = real, generated, share
        self.real_rows = ClassRows(real.labels, classes)
        if generated is not None and len(generated) == 0:
            raise DataError("no generated images; make them with: tgn generate --class all")
        no_rows = torch.zeros(0, dtype=torch.int64)
        labels = generated.labels if generated is not None else no_rows
        self.generated_rows = ClassRows(labels, classes)
        self.prior = self._prior(sampling)

    def _prior(self, sampling: Sampling) -> Tensor:
        """Return how often each class is drawn, [C], sum 1."""
        real, extra = self.real_rows.counts, self.generated_rows.counts
        if sampling == "class-balanced":
            weight = (real > 0).double()
        else:
            weight = (real + torch.minimum(extra, real.max() - real)).double()
        return weight / weight.sum()

    def batch(self, size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return images_u8 [B, bands, H, W] and labels [B] of a step."""
        draw = generator(seed, "classify batch", step)
        labels = torch.multinomial(self.prior, size, replacement=True, generator=draw)
        uniform = torch.rand(2, size, generator=draw)
        wants_generated = (uniform[0] < self.share) & (self.generated_rows.counts[labels] > 0)
        real = ~wants_generated
        images = torch.empty(
            size, self.real.bands, self.real.size, self.real.size, dtype=torch.uint8
        )
        images[real] = self.real.batch(self.real_rows.pick(labels[real], uniform[1][real]))
        if self.generated is not None and wants_generated.any():
            rows = self.generated_rows.pick(labels[wants_generated], uniform[1][wants_generated])
            images[wants_generated] = self.generated.batch(rows)
        return images, labels
