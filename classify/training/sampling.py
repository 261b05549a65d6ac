"""Sampling of batches: real images, and generated ones where a class has them."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from classify.training.class_frequencies import NOTHING_GENERATED, ClassFrequencies, GeneratedUse
from classify.training.settings import Sampling
from classify.training.uses.curriculum import Curriculum
from classify.training.uses.halves import SIDES, join_halves
from classify.training.uses.places import Places, places_of
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
    targets: Tensor | None = None  # soft labels of the rows, [B, C]; None: labels are hard


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
        self.real, self.generated, self.paired, self.use = real, generated, paired, use
        self.real_rows = ClassRows(real.labels, classes)
        no_rows = torch.zeros(0, dtype=torch.int64)
        labels = generated.labels if generated is not None else no_rows
        self.generated_rows = ClassRows(labels, classes)
        counts = self.real_rows.counts, self.generated_rows.counts
        self.frequencies = ClassFrequencies(*counts, sampling, use)
        self.counts = self.real_rows.counts  # real training images of each class, [C]
        self.curriculum = None
        if use.noise is not None:
            self.curriculum = Curriculum(use.noise, labels, classes)
            self.generated_rows = ClassRows(self.curriculum.groups, self.curriculum.has.numel())

    def batch(self, request: BatchRequest) -> SampledBatch:
        """Return the images of a step."""
        has_foregrounds = request.foreground_power is not None
        places = places_of(self.frequencies, request.progress, has_foregrounds)
        if request.class_weights is not None:
            weighted = places.rows._replace(classes=request.class_weights.double())
            places = places._replace(rows=weighted)
        labels, uniform, share = self._drawn(places, request)
        is_generated = uniform[0] < share
        picked = self._generated(labels[is_generated], uniform[1][is_generated], request.progress)
        images, paired = self._images(labels, is_generated, uniform[1], picked)
        if self.use.kind == "blended":
            images = self._joined(images, labels, is_generated, request)
        targets = self._targets(labels, is_generated, picked)
        prior = places.rows.real
        return SampledBatch(images, labels, is_generated, prior, paired, has_foregrounds, targets)

    def foreground_prior(self, power: float) -> Tensor:
        """Return the probability of each class among the foregrounds of CMO: [C].

        Of a class with n real images each has the weight n^-r: r = 1 makes classes equally likely,
        a larger r makes rare ones more likely. Source: Park et al. 2022 (arXiv 2112.00412), eq. 1,
        as released: its weights are of images, not of classes.
        """
        weight = (self.counts > 0) * self.counts.clamp(min=1).double() ** (1 - power)
        return weight / weight.sum()

    def _drawn(self, places: Places, request: BatchRequest) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the classes [R] of all rows, numbers [2, R], shares of generated images [R]."""
        rng = generator(request.seed, "classify batch", request.step)
        labels, uniform = _draw(places.rows.classes, request.size, rng)
        share = places.rows.generated[labels]
        if request.foreground_power is None:
            return labels, uniform, share
        rng = generator(request.seed, "classify foregrounds", request.step)
        prior = self.foreground_prior(request.foreground_power)
        front, front_uniform = _draw(prior, request.size, rng)
        return (
            torch.cat((labels, front)),
            torch.cat((uniform, front_uniform), dim=1),
            torch.cat((share, places.foregrounds[front])),
        )

    def _generated(self, labels: Tensor, uniform: Tensor, progress: float) -> Tensor:
        """Pick a generated image of each class in labels [G] by random numbers [G]: its row."""
        if self.curriculum is not None:
            labels = self.curriculum.groups_at(labels, progress / self.use.until)
        return self.generated_rows.pick(labels, uniform)

    def _images(
        self, labels: Tensor, is_generated: Tensor, uniform: Tensor, picked: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return real images of labels [R] by random numbers [R], and those picked; both sensors.

        ``picked`` are rows of the generated images, in the order of the rows that are generated.
        """
        rows = self.real_rows.pick(labels[~is_generated], uniform[~is_generated])
        images = torch.empty(
            len(labels), self.real.bands, self.real.size, self.real.size, dtype=torch.uint8
        )
        images[~is_generated] = self.real.batch(rows)
        if self.generated is not None and is_generated.any():
            images[is_generated] = self.generated.batch(picked)
        return images, None if self.paired is None else self.paired.batch(rows)

    def _joined(
        self, images_u8: Tensor, labels: Tensor, is_generated: Tensor, request: BatchRequest
    ) -> Tensor:
        """Replace one half of each generated image by that of a real one of its class."""
        rng = generator(request.seed, "classify blended", request.step)
        uniform = torch.rand(2, len(labels), generator=rng)[:, is_generated]
        real = self.real.batch(self.real_rows.pick(labels[is_generated], uniform[0]))
        sides = (SIDES * uniform[1]).long()
        joined = images_u8.clone()
        joined[is_generated] = join_halves(real, images_u8[is_generated], sides)
        return joined

    def _targets(self, labels: Tensor, is_generated: Tensor, picked: Tensor) -> Tensor | None:
        """Return the soft labels [R, C] where generated images have such; real ones are certain."""
        if self.use.targets is None:
            return None
        targets = F.one_hot(labels, len(self.counts)).float()
        targets[is_generated] = self.use.targets[picked]
        return targets


def _draw(prior: Tensor, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw classes [B] by their probabilities [C], and two random numbers each, [2, B]."""
    labels = torch.multinomial(prior, size, replacement=True, generator=rng)
    return labels, torch.rand(2, size, generator=rng)
