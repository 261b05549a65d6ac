"""The Python interface of ``classify``: trained classifiers, applied to images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from classify.training.layout import CHECKPOINT
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.runs import Run, find_run
from tgn.models.backbones import TappedNet
from tgn.models.backbones import load_classifier as load_network
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.settings import ComputeSettings

BATCH_SIZE = 256


class Classifier:
    """A trained classifier in eval mode.

    Attributes:
        network: images_pm1 [B, bands, H, W] -> logits, features and embedding.
        file: its checkpoint.
    """

    def __init__(self, network: TappedNet, file: Path, device: Device) -> None:
        self.network, self.file, self._device = network, file, device

    @property
    def classes(self) -> list[str]:
        """Folder names of the classes, in the order of the probabilities."""
        return list(self.network.facts.folders)

    @property
    def size(self) -> int:
        """Side in pixels at which it sees images; others are resized."""
        return self.network.facts.size

    def predict(self, images: Any) -> Tensor:
        """Return the class probabilities of images.

        Args:
            images: uint8 [N, bands, H, W], a tensor, an array or what a generator returned; or a
                list of image files.

        Returns:
            Float32 [N, C] on the CPU; rows sum to 1; columns are those of :attr:`classes`.

        Raises:
            UserError: for another type, shape or number of bands.
            DataError: naming the first file that cannot be read.
        """
        images_u8 = self._images(images)
        found = [self._probabilities(batch) for batch in images_u8.split(BATCH_SIZE)]
        return torch.cat(found) if found else torch.empty(0, len(self.classes))

    def predict_names(self, images: Any) -> list[str]:
        """Return the likeliest class of each image, by its folder name."""
        return [self.classes[k] for k in self.predict(images).argmax(1).tolist()]

    @torch.inference_mode()
    def _probabilities(self, images_u8: Tensor) -> Tensor:
        images_pm1 = to_pm1(self._device.put(images_u8))
        if images_pm1.shape[-2:] != (self.size, self.size):
            images_pm1 = F.interpolate(
                images_pm1, size=(self.size, self.size), mode="bilinear", antialias=True
            )
        with self._device.autocast():
            logits = self.network(images_pm1).logits
        return logits.float().softmax(1).cpu()

    def _images(self, images: Any) -> Tensor:
        if isinstance(images, Sequence) and all(isinstance(one, str | Path) for one in images):
            files = [Path(one) for one in images]
            facts = self.network.facts
            listed = ImageSet(files, [0] * len(files), facts.size, facts.bands, cache_bytes=0)
            return listed.batch(torch.arange(len(files)))
        found = images if isinstance(images, Tensor) else torch.from_numpy(np.asarray(images))
        bands = self.network.facts.bands
        if found.dtype != torch.uint8 or found.ndim != 4 or found.shape[1] != bands:
            raise UserError(
                f"images got {found.dtype} {[*found.shape]}, expected uint8 [N, {bands}, H, W] or "
                "a list of files"
            )
        return found.cpu()


def load_classifier(
    run_or_file: str | Path, name: str | None = None, device: str = "auto"
) -> Classifier:
    """Load a trained classifier by run and name, or from its file.

    Args:
        run_or_file: a run's name or path, or a ``classifier.safetensors``.
        name: folder below the run's ``classify``; a recipe of ``classify compare`` is found too,
            with its first seed. Not given: ``run_or_file`` is a file.
        device: auto, cpu or cuda.

    Raises:
        NotFoundError: if there is none; lists the names that the run has.
        UserError: if the file is no classifier.
    """
    file = Path(run_or_file) if name is None else _file_of(run_or_file, name)
    if not file.is_file():
        raise NotFoundError(f"no classifier file {file}; give a run and a name, or a {CHECKPOINT}")
    where = Device(ComputeSettings.resolve(None, (), device=device))
    return Classifier(where.place(load_network(file)), file, where)


def _file_of(run: str | Path, name: str) -> Path:
    path = Path(run)
    found = Run(path) if (path / "run.yaml").is_file() else find_run(str(run))
    places = [found.classifiers / name, *sorted(found.comparison.glob(f"{name}-seed*"))]
    for place in places:
        if (place / CHECKPOINT).is_file():
            return place / CHECKPOINT
    known = sorted({file.parent.name for file in found.classifiers.glob(f"**/{CHECKPOINT}")})
    raise NotFoundError(
        f"no classifier {name!r} in run {found.name!r}; there are: {', '.join(known) or 'none'}; "
        "train one with: classify train"
    )
