"""The curriculum of generated images: of a large noise ratio early, of a small one late."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from tgn.runtime.errors import DataError


class Curriculum:
    """Says which generated images are used at a point of the part that has some.

    The distinct noise ratios r_1 > ... > r_K of a folder's images divide that part into K equal
    stages; stage k takes images of r_k, or of a class without such images those of its nearest
    stage, of two the earlier one. So images go from free ones (r = 1 ignores the source) to ones
    close to a real image. Source: DisCL (Liang et al. 2024, arXiv 2410.13674), whose curriculum
    for long tails goes from diverse to close images likewise.

    Args:
        noise: ratio of each generated image, in [0, 1], [N].
        labels: class of each, [N].
        classes: C.
    """

    def __init__(self, noise: Tensor, labels: Tensor, classes: int) -> None:
        rising, place = noise.unique(return_inverse=True)
        self.stages = len(rising)  # K
        self.groups = labels * self.stages + (self.stages - 1 - place)  # of each image, [N]
        counts = torch.bincount(self.groups, minlength=classes * self.stages)
        self.has = counts.view(classes, self.stages) > 0

    def groups_at(self, labels: Tensor, done: float) -> Tensor:
        """Return from which group, a class at a ratio, an image of each class is taken.

        Args:
            labels: [B], of classes with generated images.
            done: share of the part with generated images, in [0, 1).
        """
        stages = torch.arange(self.stages)
        distance = (stages - min(int(done * self.stages), self.stages - 1)).abs().double()
        nearest = distance.where(self.has[labels], torch.inf).argmin(1)  # of two the first
        return labels * self.stages + nearest


def check_ratios(noise: Iterable[float | None], folder: Path) -> None:
    """Refuse images that give no curriculum.

    Args:
        noise: ratio of each generated image, None where it is not known.
        folder: of the images.

    Raises:
        DataError: if a ratio is not known, or all are the same.
    """
    found = set(noise)
    if len(found) > 1 and None not in found:
        return
    got = f"of one noise ratio, {found.pop():g}," if found and None not in found else "without one"
    raise DataError(
        f"generated_use=curriculum needs images of several noise ratios, got images {got} in "
        f"{folder}; make some with e.g.: tgn generate --class all --noise 1,0.7,0.4 --no-resume"
    )
