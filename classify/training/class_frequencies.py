"""How often each class is in a step's batch, how much of it is generated, and the prior of that.

The prior rule, for every loss that corrects for class frequencies
-------------------------------------------------------------------
Of a step's batch let p(y) be the probability of class y and s(y) that of a generated image among
those of class y. Cross-entropy fits the posterior of the images it sees. Those of a test are real,
and a network tells real from generated ones easily, so what it learns of a real image x is the
posterior among the *real* images of the batch, by Bayes' rule

    p(y | x) ~ p(x | y) q(y),    q(y) = p(y) (1 - s(y)) / sum over k of p(k) (1 - s(k)).

Logit adjustment with the prior q (Menon et al. 2021, arXiv 2007.07314, eq. 10, tau = 1: balanced
softmax) leaves log p(x | y), which is what a balanced test asks for. With p in place of q, rare
classes whose places are taken by generated images count as frequent, and nothing is corrected.
With n real images of a class, of which f generated ones fill it up:

    sampling         p             s            q
    random           n + f         f / (n + f)  n                the counts of the real images
    square-root      sqrt(n + f)   f / (n + f)  n / sqrt(n + f)
    class-balanced   1             share        1 - share        1 where no image is generated
    last part        as without generated images, s = 0, q = p

each up to a factor. Fill-Up (Shin et al. 2023, arXiv 2306.07200) takes the real counts, too. A
class of which the batch has no real image (s = 1, as with ``generated_use=first``) is represented
by its generated ones: 1 - s is replaced by 1.

Where a loss or mixing reads the *number* of images rather than a prior (margins of LDAM, whose
bound is by independent samples; Remix; the foregrounds of CMO), it reads n: generated images are
made of the n real ones. Class weights by effective numbers are of n for real images and of f for
generated ones, so that neither kind favours a class, and no class's generated images outweigh it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from classify.training.settings import LEVEL, Sampling, TrainSettings
from classify.training.uses.names import BESIDE, GeneratedUseName
from tgn.data.split import filling_up


class GeneratedUse(NamedTuple):
    """How generated images are used beside real ones."""

    share: float = 0.5  # at most, of a class's places under level sampling, in (0, 1]
    until: float = 0.6  # progress from which batches are real only, in (0, 1]
    num_head: int = 0  # head classes, the first in class order
    kind: GeneratedUseName = BESIDE
    noise: Tensor | None = None  # of a curriculum: ratio of each generated image, [N]
    targets: Tensor | None = None  # soft labels of each generated image, [N, C]


def use_of(settings: TrainSettings, num_head: int) -> GeneratedUse:
    """Return how a training of a run with that many head classes uses generated images."""
    return GeneratedUse(
        settings.generated_share, settings.generated_until, num_head, settings.generated_use
    )


NOTHING_GENERATED = GeneratedUse()  # where there are no generated images, it says nothing


class Frequencies(NamedTuple):
    """What the batch of a step consists of, as probabilities."""

    classes: Tensor  # p: of each class, [C], sum 1
    generated: Tensor  # s: of a generated image, if the class is given, [C]

    @property
    def real(self) -> Tensor:
        """The prior q: probability of each class among the real images, [C], sum 1."""
        share = torch.where(self.generated < 1, 1 - self.generated, 1)
        weight = self.classes * share
        return weight / weight.sum()


class ClassFrequencies:
    """The frequencies at any point of a training.

    A training with generated images has two parts. In the first one, up to ``use.until``, random
    sampling takes a generated image as it takes a real one, but of a class's generated images only
    as many count as fill it up to the largest real class, so the histogram is never inverted.
    Those of a head class take places of its real ones, as many at most as a tail class gets on
    average (`filling_up`): a classifier shall not learn that generated images are of rare classes.
    Square-root: classes in the ratio of the square roots of those counts. Class-balanced: classes
    are equally likely, and a generated image has the probability ``use.share``, or less where a
    class has few, see :func:`largest_share`. Progressive: from random to class-balanced over the
    training. Source: Kang et al. 2020 (arXiv 1910.09217), section 3, eq. 1 and 2.

    With the use ``first``, a class that has generated images has those alone in the first part
    (From Fake to Real, Qraitem et al. 2023, arXiv 2308.04553).

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
        self.real, self.sampling, self.use = real, sampling, use
        fill = torch.minimum(generated, real.max() - real)
        self.filled = real + fill
        if sampling in LEVEL:
            self.generated = generated  # those that count, f
            part = use.until if sampling == "class-balanced" else 1.0
            self.share = largest_share(real, generated, part).clamp(max=use.share)
        else:
            most = torch.tensor(filling_up(real.tolist(), use.num_head))
            used = self.generated = torch.minimum(generated, most)
            self.share = used / (real + used).clamp(min=1).double()
        if use.kind == "first":
            self.share = (generated > 0).double()

    def at(self, progress: float) -> Frequencies:
        """Return the frequencies after a share of the training in [0, 1]."""
        if progress >= self.use.until:
            return self.of_real(progress)
        return Frequencies(self._classes(self.filled, progress), self.share)

    def of_real(self, progress: float) -> Frequencies:
        """Return the frequencies of a step without generated images."""
        return Frequencies(self._classes(self.real, progress), torch.zeros_like(self.share))

    def _classes(self, counts: Tensor, progress: float) -> Tensor:
        power = {"random": 1.0, "square-root": 0.5}.get(self.sampling, 0.0)
        weight = (counts > 0).double() * counts.double() ** power
        classes = weight / weight.sum()
        if self.sampling == "progressive":
            return torch.lerp(counts / counts.sum().double(), classes, progress)
        return classes


def largest_share(real: Tensor, generated: Tensor, part: float) -> Tensor:
    """Return the share of generated images at which none is shown more often than a real one.

    With n real and g generated images of a class, the share s in a part u of the training shows
    each generated image s u / g times as often as the class, and each real one (1 - s u) / n
    times. The first is not larger up to s = g / ((n + g) u). So the share shrinks with the number
    of generated images, and three of them never take the places of many.

    Args:
        real: n, [C].
        generated: g, [C].
        part: u, in (0, 1]: 1 if the classes are not equally frequent throughout.

    Returns:
        [C], in [0, 1]; 0 where there is no generated image.
    """
    share = generated / (part * (real + generated).clamp(min=1).double())
    return share.clamp(max=1)
