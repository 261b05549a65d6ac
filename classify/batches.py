"""Which images a step sees: real ones, and generated ones where a class has them."""

import torch
from torch import Tensor

from classify.settings import Sampling
from tgn.core.data import ImageSet
from tgn.core.errors import DataError
from tgn.core.seeds import generator


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
    turn it over. Class-balanced: every class is as likely as another, and a place of a class that
    has generated images gets one of them with probability ``share``, else a real one.

    Args:
        real: the training part.
        generated: generated images of some classes, or None.
        sampling: how classes are drawn.
        share: of generated images under class-balanced sampling, in [0, 1].
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
        self.real, self.generated = real, generated
        self.balanced = sampling == "class-balanced"
        self.real_rows = ClassRows(real.labels, classes)
        if generated is not None and len(generated) == 0:
            raise DataError("no generated images; make them with: tgn generate --class all")
        no_rows = torch.zeros(0, dtype=torch.int64)
        labels = generated.labels if generated is not None else no_rows
        self.generated_rows = ClassRows(labels, classes)
        counts, extra = self.real_rows.counts, self.generated_rows.counts
        if self.balanced:
            weight = (counts > 0).double()
            self.share = share * (extra > 0).double()
        else:
            fill = torch.minimum(extra, counts.max() - counts)
            weight = (counts + fill).double()
            self.share = fill / weight.clamp(min=1)
        self.prior = weight / weight.sum()  # how often each class is drawn, [C]

    def batch(self, size: int, seed: int, step: int, late: bool = False) -> tuple[Tensor, Tensor]:
        """Return images_u8 [B, bands, H, W] and labels [B] of a step.

        ``late`` in a training, class-balanced batches hold real images only: what is learned last
        is learned from the real thing.
        """
        draw = generator(seed, "classify batch", step)
        labels = torch.multinomial(self.prior, size, replacement=True, generator=draw)
        uniform = torch.rand(2, size, generator=draw)
        share = 0 * self.share if late and self.balanced else self.share
        wants_generated = uniform[0] < share[labels]
        real = ~wants_generated
        images = torch.empty(
            size, self.real.bands, self.real.size, self.real.size, dtype=torch.uint8
        )
        images[real] = self.real.batch(self.real_rows.pick(labels[real], uniform[1][real]))
        if self.generated is not None and wants_generated.any():
            rows = self.generated_rows.pick(labels[wants_generated], uniform[1][wants_generated])
            images[wants_generated] = self.generated.batch(rows)
        return images, labels
