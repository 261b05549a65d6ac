"""Which images a step is trained on, and how they are read and changed."""

import math

import torch
from torch import Tensor

from classify.detection.data.augmentation import augment
from classify.detection.data.dataset import DetectionDataset
from classify.detection.data.mosaic import make_mosaic
from classify.detection.data.pasting import Pasting
from classify.detection.data.samples import DetectionSample, load_sample
from classify.detection.data.sampling import ImageSampling
from classify.detection.settings.detector import DetectSettings
from tgn.runtime.seeds import generator


class TrainingSamples:
    """The samples of every step, as a function of (seed, step) alone: resume needs no state.

    Args:
        data: training images, or tiles.
        settings: of the training.
        pasting: of objects into images, if any.
    """

    def __init__(
        self, data: DetectionDataset, settings: DetectSettings, pasting: Pasting | None = None
    ) -> None:
        self.data, self.settings, self.pasting = data, settings, pasting
        self.sampling = None if settings.sampling == "uniform" else ImageSampling(data, settings)

    def rows(self, step: int) -> Tensor:
        """Return which images [images_per_step] a step is trained on, over all processes.

        In epochs each image is shown once, in an order drawn for the epoch; the last batch is
        filled up with the epoch's first images, since processes share batches evenly. Where rare
        classes are sampled, every step is drawn by itself.
        """
        count, size = len(self.data.images), self.settings.images_per_step
        if self.settings.epochs is None or self.sampling is not None:
            return self._drawn(size, generator(self.settings.seed, "detect", step))
        epoch, place = divmod(step, math.ceil(count / size))
        rng = generator(self.settings.seed, "detect epoch", epoch)
        order = torch.randperm(count, generator=rng)
        return order[torch.arange(place * size, (place + 1) * size) % count]

    def short_side(self, number: int) -> int | None:
        """Return the short side in pixels to which a batch is scaled; None: no such.

        Args:
            number: of the batch, which is the step if gradients are not accumulated.
        """
        sides = self.settings.short_sides
        if not sides:
            return None
        rng = generator(self.settings.seed, "detect short side", number)
        return sides[int(torch.randint(len(sides), (), generator=rng))]

    def sample(self, row: int, rng: torch.Generator) -> DetectionSample:
        """Read an image and change it at random.

        Args:
            row: of the image in the data.
            rng: of this image in this step; what is drawn depends on it alone.

        Raises:
            DataError: naming the file, if it cannot be read.
        """
        first = self._augmented(row, rng)
        if not self.settings.mosaic or torch.rand((), generator=rng) >= self.settings.mosaic:
            return first
        others = [self._augmented(other, rng) for other in self._drawn(3, rng).tolist()]
        return make_mosaic([first, *others], self.settings.tile_size is not None, rng)

    def _drawn(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the rows [count] of images drawn with replacement."""
        if self.sampling is not None:
            return self.sampling.rows(count, rng)
        return torch.randint(len(self.data.images), (count,), generator=rng)

    def _augmented(self, row: int, rng: torch.Generator) -> DetectionSample:
        image = self.data.images[row]
        sample = load_sample(image)
        if self.pasting is not None:
            sample = self.pasting.paste(sample, image, rng)
        return augment(sample, self.settings, rng)

    def batch(self, step: int, places: list[int]) -> list[DetectionSample]:
        """Return some samples of a step.

        Args:
            step: from 0.
            places: among the images of the step; each has random numbers of its own.
        """
        rows, seed = self.rows(step).tolist(), self.settings.seed
        return [
            self.sample(rows[place], generator(seed, "detect sample", step, place))
            for place in places
        ]
