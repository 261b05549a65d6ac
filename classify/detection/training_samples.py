"""Which images a step is trained on, and how they are read and changed."""

import torch
from torch import Tensor

from classify.detection.augmentation import augment
from classify.detection.dataset import DetectionDataset
from classify.detection.pasting import Pasting
from classify.detection.samples import DetectionSample, load_sample
from classify.detection.sampling import ImageSampling
from classify.detection.settings import DetectSettings
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
        """Return which images [batch_size] a step is trained on, over all processes."""
        settings = self.settings
        rng = generator(settings.seed, "detect", step)
        if self.sampling is not None:
            return self.sampling.rows(settings.batch_size, rng)
        return torch.randint(len(self.data.images), (settings.batch_size,), generator=rng)

    def sample(self, row: int, rng: torch.Generator) -> DetectionSample:
        """Read an image and change it at random.

        Args:
            row: of the image in the data.
            rng: of this image in this step; what is drawn depends on it alone.

        Raises:
            DataError: naming the file, if it cannot be read.
        """
        return augment(self._read(row, rng), self.settings, rng)

    def _read(self, row: int, rng: torch.Generator) -> DetectionSample:
        """Return an image with what is pasted into it."""
        image = self.data.images[row]
        sample = load_sample(image)
        return sample if self.pasting is None else self.pasting.paste(sample, image, rng)

    def batch(self, step: int, places: list[int]) -> list[DetectionSample]:
        """Return some samples of a step.

        Args:
            step: from 0.
            places: in the batch of all processes; each has random numbers of its own.
        """
        rows, seed = self.rows(step).tolist(), self.settings.seed
        return [
            self.sample(rows[place], generator(seed, "detect sample", step, place))
            for place in places
        ]
