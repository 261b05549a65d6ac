"""Which rows of a step's batch may be generated images."""

from typing import NamedTuple

from torch import Tensor

from classify.training.class_frequencies import ClassFrequencies, Frequencies


class Places(NamedTuple):
    """What the batch of a step consists of."""

    rows: Frequencies  # of its B images; with CMO those are the backgrounds
    foregrounds: Tensor  # share of generated images among the foregrounds of CMO, by class, [C]


def places_of(frequencies: ClassFrequencies, progress: float, mixes: bool) -> Places:
    """Return where a step has generated images, by the use of them.

    CMO (Park et al. 2022, arXiv 2112.00412) pastes a box of a foreground on a background.
    ``background`` and ``pasted`` have generated images in one of the two alone, so a step that is
    not mixed has real images only. The other uses have them in both.

    Args:
        frequencies: of the training.
        progress: share of the training that is done, in [0, 1).
        mixes: whether the step has foregrounds.
    """
    found, real = frequencies.at(progress), frequencies.of_real(progress)
    if frequencies.use.kind == "pasted":
        return Places(real, found.generated)
    if frequencies.use.kind == "background":
        return Places(found if mixes else real, real.generated)
    return Places(found, found.generated)
