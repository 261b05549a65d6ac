"""Sampling of batches: real images, and generated ones where a class has them."""

from typing import NamedTuple

import torch
from torch import Tensor

from classify.training.class_frequencies import NOTHING_GENERATED, ClassFrequencies, GeneratedUse
from classify.training.settings import Sampling
from tgn.data.image_set import ImageSet
from tgn.runtime.seeds import generator


class BatchRequest(NamedTuple):
    """All that the batch of a step depends on."""

    size: int  # B
    seed: int  # of the training
    step: int
    progress: float = 0.0  # share of the training that is done, in [0, 1)
    class_weights: Tensor | None = None  # [C], in place of what sampling says
    foreground_power: float | None = None  # r of CMO: B foregrounds are wanted, too


class SampledBatch(NamedTuple):
    """The images of a step before augmentation: B of them, or 2 B with the foregrounds of CMO."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    is_generated: Tensor  # [B], bool
    prior: Tensor  # probability of each class among the real images, [C], sum 1
    paired_u8: Tensor | None  # the same scenes from the other sensor
    has_foregrounds: bool = False  # whether the second half of the rows are foregrounds


class ClassRows:
    """Rows of an image set by class.

    Args:
        labels: [N].
        classes: C.
    """

    def __init__(self, labels: Tensor, classes: int) -> None:
        self.order = labels.argsort(stable=True)
        self.counts = torch.bincount(labels, minlength=classes)
        self.starts = self.counts.cumsum(0) - self.counts

    def pick(self, labels: Tensor, uniform: Tensor) -> Tensor:
        """Return a random row of each class in labels [B], by random numbers [B] in [0, 1)."""
        place = (uniform * self.counts[labels]).long().clamp(max=self.counts[labels] - 1)
        return self.order[self.starts[labels] + place]


class MixtureSampler:
    """Samples the batch of a step from real and generated images, by (seed, step) alone.

    How often is in :class:`classify.training.class_frequencies.ClassFrequencies`.

    Args:
        real: the training part.
        generated: generated images of some classes, at least one, or None.
        sampling: how classes are sampled.
        classes: C.
        use: of the generated images.
        paired: the images of ``real``, row by row, from another sensor, or None.
    """

    def __init__(
        self,
        real: ImageSet,
        generated: ImageSet | None,
        sampling: Sampling,
        classes: int,
        use: GeneratedUse = NOTHING_GENERATED,
        paired: ImageSet | None = None,
    ) -> None:
        self.real, self.generated, self.paired = real, generated, paired
        self.real_rows = ClassRows(real.labels, classes)
        no_rows = torch.zeros(0, dtype=torch.int64)
        labels = generated.labels if generated is not None else no_rows
        self.generated_rows = ClassRows(labels, classes)
        counts = self.real_rows.counts, self.generated_rows.counts
        self.frequencies = ClassFrequencies(*counts, sampling, use)
        self.counts = self.real_rows.counts  # real training images of each class, [C]

    def batch(self, request: BatchRequest) -> SampledBatch:
        """Return the images of a step."""
        weights, power = request.class_weights, request.foreground_power
        rng = generator(request.seed, "classify batch", request.step)
        found = self.frequencies.at(request.progress)
        if weights is not None:
            found = found._replace(classes=weights.double())
        labels, uniform = _draw(found.classes, request.size, rng)
        if power is not None:
            rng = generator(request.seed, "classify foregrounds", request.step)
            foregrounds = _draw(self.foreground_prior(power), request.size, rng)
            labels = torch.cat((labels, foregrounds[0]))
            uniform = torch.cat((uniform, foregrounds[1]), dim=1)
        is_generated = uniform[0] < found.generated[labels]
        images, paired = self._images(labels, is_generated, uniform[1])
        return SampledBatch(images, labels, is_generated, found.real, paired, power is not None)

    def foreground_prior(self, power: float) -> Tensor:
        """Return the probability of each class among the foregrounds of CMO: [C].

        Of a class with n real images each has the weight n^-r: r = 1 makes classes equally likely,
        a larger r makes rare ones more likely. Source: Park et al. 2022 (arXiv 2112.00412), eq. 1,
        as released: its weights are of images, not of classes.
        """
        weight = (self.counts > 0) * self.counts.clamp(min=1).double() ** (1 - power)
        return weight / weight.sum()

    def _images(
        self, labels: Tensor, is_generated: Tensor, uniform: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Pick an image of each class in labels [B] by random numbers [B]; also of both sensors."""
        rows = self.real_rows.pick(labels[~is_generated], uniform[~is_generated])
        images = torch.empty(
            len(labels), self.real.bands, self.real.size, self.real.size, dtype=torch.uint8
        )
        images[~is_generated] = self.real.batch(rows)
        if self.generated is not None and is_generated.any():
            picked = self.generated_rows.pick(labels[is_generated], uniform[is_generated])
            images[is_generated] = self.generated.batch(picked)
        return images, None if self.paired is None else self.paired.batch(rows)


def _draw(prior: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw classes [B] by their probabilities [C], and two random numbers each, [2, B]."""
    labels = torch.multinomial(prior, size, replacement=True, generator=rng)
    return labels, torch.rand(2, size, generator=rng)
