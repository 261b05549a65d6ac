"""The real tail images of a run, found by file or by likeness."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.runs import Run
from tgn.data.split import of_classes
from tgn.metrics.neighbours import nearest_neighbours
from tgn.models.extractors import load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent
from tgn.scoring.feature_cache import FeatureCache


@dataclass(frozen=True)
class Trio:
    """A drawn image beside two real ones; images_u8 [bands, H, W] each.

    Attributes:
        drawn: the generated image.
        source: the training image it was drawn from; None where that is not known.
        nearest: the training image of any tail class that is most like it, in tail features.
        distance: to the nearest, Euclidean.
    """

    drawn: Tensor
    source: Tensor | None
    nearest: Tensor
    distance: float


class Lookalikes:
    """Puts real training images beside generated ones.

    Args:
        run: a run whose ``kmdn/`` is there.
        size: side in pixels at which images are shown and compared.
        device: where features are computed.

    Raises:
        NotFoundError: if the run has no tail net.
    """

    def __init__(self, run: Run, size: int, device: Device) -> None:
        split, self.device = run.split(), device
        self.extractor = load_extractor("tail", tail_net_file(run.path / "kmdn"))
        device.place(self.extractor.network)
        everything = split.image_set("train", run.path, size, self.extractor.network.bands)
        self.images = of_classes(everything, split.tail_classes)
        cache = FeatureCache(run.path / "scores" / "features", device, Silent())
        self.features = cache.features(self.extractor, self.images)
        tail = [file for file, label in split.train if label in split.tail_classes]
        self._row_of = {file: row for row, file in enumerate(tail)}

    @torch.inference_mode()
    def beside(self, images_u8: Tensor, sources: list[str]) -> list[Trio]:
        """Return a trio for each image.

        Args:
            images_u8: [K, bands, H, W].
            sources: the training file of each, as the split names it; "" where it is not known.
        """
        features = self.extractor.network(self.device.put(images_u8)).float().cpu()
        near = nearest_neighbours(features, self.features)
        reals, distances = self.images.batch(near.index), near.distance.tolist()
        return [
            Trio(image, self._source(file), real, distance)
            for image, file, real, distance in zip(
                images_u8, sources, reals, distances, strict=True
            )
        ]

    def _source(self, file: str) -> Tensor | None:
        row = self._row_of.get(file)
        return None if row is None else self.images.batch(torch.tensor([row]))[0]
