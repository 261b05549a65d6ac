"""Which images a step sees: real ones, and generated ones where a class has them."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.runtime.errors import DataError
from tgn.runtime.seeds import generator

Sampling = Literal["random", "square-root", "class-balanced", "progressive"]


class Wanted(NamedTuple):
    """What a step asks for."""

    size: int  # B
    seed: int  # of the training
    step: int
    progress: float = 0.0  # part of the training that is done, in [0, 1)
    generated_until: float = 1.0  # from this progress on level batches hold real images only
    class_weights: Tensor | None = None  # [C], in place of what sampling says


class Drawn(NamedTuple):
    """The images of a step, not yet augmented."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    is_generated: Tensor  # [B], bool
    prior: Tensor  # how often each class is drawn, [C], sum 1
    paired_u8: Tensor | None  # the same scenes seen by the other sensor


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

    Random sampling: all images are alike, real or generated, but of a class's generated ones only
    as many count as bring it up to the largest real class: they fill up the histogram and never
    turn it over. Square-root: classes in the ratio of the square roots of those counts.
    Class-balanced: every class is as likely as another. Progressive: from random to class-balanced
    over the training. Source: Kang et al. 2020 (arXiv 1910.09217), section 3, eq. 1 and 2.

    A place of a class with generated images gets one of them in the ratio of the counts; under
    class-balanced and progressive sampling with probability ``share``.

    Args:
        real: the training part.
        generated: generated images of some classes, or None.
        sampling: how classes are drawn.
        share: of generated images under class-balanced sampling, in [0, 1].
        classes: C.
        paired: the images of ``real``, row by row, as another sensor sees them, or None.
    """

    def __init__(
        self,
        real: ImageSet,
        generated: ImageSet | None,
        sampling: Sampling,
        share: float,
        classes: int,
        paired: ImageSet | None = None,
    ) -> None:
        self.real, self.generated, self.paired = real, generated, paired
        self.sampling = sampling
        self.real_rows = ClassRows(real.labels, classes)
        if generated is not None and len(generated) == 0:
            raise DataError("no generated images; make them with: tgn generate --class all")
        no_rows = torch.zeros(0, dtype=torch.int64)
        labels = generated.labels if generated is not None else no_rows
        self.generated_rows = ClassRows(labels, classes)
        counts, extra = self.real_rows.counts, self.generated_rows.counts
        fill = torch.minimum(extra, counts.max() - counts)
        self.counts = counts + fill  # what the losses take for the number of training images, [C]
        if self._levels:
            self.share = share * (extra > 0).double()
        else:
            self.share = fill / self.counts.clamp(min=1)

    @property
    def _levels(self) -> bool:
        return self.sampling in ("class-balanced", "progressive")

    def prior(self, progress: float = 0.0) -> Tensor:
        """Return how often each class is drawn after a part of the training in [0, 1]: [C]."""
        power = {"random": 1.0, "square-root": 0.5}.get(self.sampling, 0.0)
        there = (self.counts > 0).double()
        weight = there * self.counts.double() ** power
        prior = weight / weight.sum()
        if self.sampling == "progressive":
            return torch.lerp(self.counts / self.counts.sum().double(), prior, progress)
        return prior

    def batch(self, wanted: Wanted) -> Drawn:
        """Return the images of a step.

        Real ones only after ``generated_until`` where classes are level: what is learned last is
        learned from the real thing.
        """
        size, weights = wanted.size, wanted.class_weights
        draw = generator(wanted.seed, "classify batch", wanted.step)
        prior = self.prior(wanted.progress) if weights is None else weights.double()
        labels = torch.multinomial(prior, size, replacement=True, generator=draw)
        uniform = torch.rand(2, size, generator=draw)
        ended = self._levels and wanted.progress >= wanted.generated_until
        is_generated = uniform[0] < (0 * self.share if ended else self.share)[labels]
        rows = self.real_rows.pick(labels[~is_generated], uniform[1][~is_generated])
        images = torch.empty(
            size, self.real.bands, self.real.size, self.real.size, dtype=torch.uint8
        )
        images[~is_generated] = self.real.batch(rows)
        if self.generated is not None and is_generated.any():
            made = self.generated_rows.pick(labels[is_generated], uniform[1][is_generated])
            images[is_generated] = self.generated.batch(made)
        paired = self.paired.batch(rows) if self.paired is not None else None
        return Drawn(images, labels, is_generated, prior, paired)
