"""The real images of a run, looked up by file name or by distance in feature space."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.runs import Run
from tgn.metrics.neighbours import nearest_neighbours
from tgn.models.extractors import TAIL, Extractor, TensorImages, load_extractor
from tgn.models.feature_bank import TAIL_NET, tail_net_file
from tgn.models.feature_cache import FeatureCache
from tgn.models.judge import choose_judge
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress, Silent
from tgn.scoring.generator_networks import networks_of_run

JUDGE = "Nearest training images are those in the features of {name}."
NO_JUDGE = (
    "Warning: nearest training images are those in the features of the tail net, which the "
    "generator was trained against: {why}"
)


@dataclass(frozen=True)
class ComparedImage:
    """A generated image and two real ones to compare it with; uint8 [bands, H, W] each.

    Attributes:
        generated: the generated image.
        source: the training image it was made from; None where that is not known.
        nearest: the nearest training image of any class, in the judge's features.
        distance: to the nearest, Euclidean.
    """

    generated: Tensor
    source: Tensor | None
    nearest: Tensor
    distance: float


class RealImages:
    """The real training images of a run, to compare generated ones with.

    Distances are taken in the features of the judge of ``tgn score``, which no generator of the run
    was trained against; if its package is not installed, in those of the tail net.

    Args:
        run: the run.
        size: side in pixels at which images are shown and compared.
        device: where features are computed.
        progress: shows how many images the judge has seen.

    Attributes:
        judge: which network it is, or a warning, as a sentence.

    Raises:
        NotFoundError: if there is neither judge nor tail net.
    """

    def __init__(self, run: Run, size: int, device: Device, progress: Progress) -> None:
        split, self.device = run.split(), device
        self.extractor, self.judge = _judge(run)
        self.images = split.image_set("train", run.path, size, self.extractor.network.bands)
        cache = FeatureCache(run.feature_cache, device, progress)
        self.features = cache.features(self.extractor, self.images)
        self._row_of = {file: row for row, (file, _) in enumerate(split.train)}

    def compare(self, images_u8: Tensor, sources: list[str]) -> list[ComparedImage]:
        """Return each generated image with its source and its nearest real image.

        Args:
            images_u8: [K, bands, H, W].
            sources: the training file of each, as the split names it; "" where it is not known.
        """
        images_u8 = images_u8.expand(-1, self.images.bands, -1, -1)  # the judge sees grey in three
        features = self.extractor.features(TensorImages(images_u8), self.device, Silent())
        neighbours = nearest_neighbours(features, self.features)
        nearest = self.images.batch(neighbours.index)
        return [
            ComparedImage(image, self._source(file), real, distance)
            for image, file, real, distance in zip(
                images_u8, sources, nearest, neighbours.distance.tolist(), strict=True
            )
        ]

    def _source(self, file: str) -> Tensor | None:
        row = self._row_of.get(file)
        return None if row is None else self.images.batch(torch.tensor([row]))[0]


def _judge(run: Run) -> tuple[Extractor, str]:
    """Return the network that distances are taken with, and what the page says of it."""
    try:
        name = choose_judge(run.kmdn / TAIL_NET, networks_of_run(run))
        extractor = load_extractor(name, otherwise="go on with the tail net")
    except UserError as error:
        return load_extractor(TAIL, tail_net_file(run.kmdn)), NO_JUDGE.format(why=error)
    return extractor, JUDGE.format(name=extractor.name)
