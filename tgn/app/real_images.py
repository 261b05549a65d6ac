"""The real tail images of a run, looked up by file name or by distance in feature space."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.image_set import select_classes
from tgn.data.runs import Run
from tgn.metrics.neighbours import nearest_neighbours
from tgn.models.extractors import load_extractor
from tgn.models.feature_bank import tail_net_file
from tgn.models.feature_cache import FeatureCache
from tgn.runtime.devices import Device
from tgn.runtime.progress import Silent


@dataclass(frozen=True)
class ComparedImage:
    """A generated image and two real ones to compare it with; uint8 [bands, H, W] each.

    Attributes:
        generated: the generated image.
        source: the training image it was made from; None where that is not known.
        nearest: the nearest training image of any tail class, in tail features.
        distance: to the nearest, Euclidean.
    """

    generated: Tensor
    source: Tensor | None
    nearest: Tensor
    distance: float


class RealTailImages:
    """The real training images of a run's tail classes, to compare generated ones with.

    Args:
        run: a run with a tail net.
        size: side in pixels at which images are shown and compared.
        device: where features are computed.

    Raises:
        NotFoundError: if the run has no tail net.
    """

    def __init__(self, run: Run, size: int, device: Device) -> None:
        split, self.device = run.split(), device
        self.extractor = load_extractor("tail", tail_net_file(run.kmdn))
        device.place(self.extractor.network)
        training_images = split.image_set("train", run.path, size, self.extractor.network.bands)
        self.images = select_classes(training_images, split.tail_classes)
        cache = FeatureCache(run.feature_cache, device, Silent())
        self.features = cache.features(self.extractor, self.images)
        tail = [file for file, label in split.train if label in split.tail_classes]
        self._row_of = {file: row for row, file in enumerate(tail)}

    @torch.inference_mode()
    def compare(self, images_u8: Tensor, sources: list[str]) -> list[ComparedImage]:
        """Return each generated image with its source and its nearest real image.

        Args:
            images_u8: [K, bands, H, W].
            sources: the training file of each, as the split names it; "" where it is not known.
        """
        features = self.extractor.network(self.device.put(images_u8)).float().cpu()
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
