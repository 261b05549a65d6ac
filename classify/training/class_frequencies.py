"""How often each class is in a step's batch, and how much of it is generated."""

from typing import NamedTuple

import torch
from torch import Tensor

from classify.training.settings import Sampling
from tgn.data.split import filling_up

LEVEL = ("class-balanced", "progressive")  # samplings in which generated images fill up no class


class GeneratedUse(NamedTuple):
    """How generated images are used beside real ones."""

    share: float = 0.5  # of a class's places under level sampling, in [0, 1]
    until: float = 0.6  # progress from which batches are real only, in [0, 1]
    num_head: int = 0  # head classes, the first in class order


NOTHING_GENERATED = GeneratedUse()  # where there are no generated images, it says nothing


class Frequencies(NamedTuple):
    """What the batch of a step consists of, as probabilities."""

    classes: Tensor  # p: of each class, [C], sum 1
    generated: Tensor  # s: of a generated image, if the class is given, [C]


class ClassFrequencies:
    """The frequencies at any point of a training.

    A training with generated images has two parts. In the first one, up to ``use.until``, random
    sampling takes a generated image as it takes a real one, but of a class's generated images only
    as many count as fill it up to the largest real class, so the histogram is never inverted.
    Those of a head class take places of its real ones, as many at most as a tail class gets on
    average (`filling_up`): a classifier shall not learn that generated images are of rare classes.
    Square-root: classes in the ratio of the square roots of those counts. Class-balanced: classes
    are equally likely, and a generated image has the probability ``use.share``. Progressive: from
    random to class-balanced over the training. Source: Kang et al. 2020 (arXiv 1910.09217),
    section 3, eq. 1 and 2.

    The last part is the training without generated images: the same sampling of the real ones.

    Args:
        real: training images of each class, [C].
        generated: generated images of each class, [C].
        sampling: how classes are sampled.
        use: of the generated images.
    """

    def __init__(
        self, real: Tensor, generated: Tensor, sampling: Sampling, use: GeneratedUse
    ) -> None:
        self.real, self.sampling, self.until = real, sampling, use.until
        fill = torch.minimum(generated, real.max() - real)
        self.filled = real + fill
        if sampling in LEVEL:
            self.share = use.share * (generated > 0).double()
        else:
            most = torch.tensor(filling_up(real.tolist(), use.num_head))
            used = torch.minimum(generated, most)
            self.share = used / (real + used).clamp(min=1).double()

    def at(self, progress: float) -> Frequencies:
        """Return the frequencies after a share of the training in [0, 1]."""
        if progress >= self.until:
            return Frequencies(self._classes(self.real, progress), torch.zeros_like(self.share))
        return Frequencies(self._classes(self.filled, progress), self.share)

    def _classes(self, counts: Tensor, progress: float) -> Tensor:
        power = {"random": 1.0, "square-root": 0.5}.get(self.sampling, 0.0)
        weight = (counts > 0).double() * counts.double() ** power
        classes = weight / weight.sum()
        if self.sampling == "progressive":
            return torch.lerp(counts / counts.sum().double(), classes, progress)
        return classes
