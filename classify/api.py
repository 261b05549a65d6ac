"""The Python interface of ``classify``: trained classifiers, applied to images."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classify.training.layout import CHECKPOINT
from tgn.data.image_set import ImageSet
from tgn.data.runs import Run, find_run
from tgn.models.backbones import TappedNet
from tgn.models.backbones import load_classifier as load_network
from tgn.models.feature_networks import ClassLogits
from tgn.models.inference import batch_size
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.settings import ComputeSettings


class Classifier:
    """A trained classifier in eval mode.

    Attributes:
        network: images_pm1 [B, bands, H, W] -> logits, features and embedding.
        file: its checkpoint.
    """

    def __init__(self, network: TappedNet, file: Path, device: Device) -> None:
        self.network, self.file, self._device = network, file, device
        self._logits = ClassLogits(network)

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
            images: uint8 [N, bands, H, W], a tensor, an array or what a generator returned; or an
                image file, or a list of them.

        Returns:
            Float32 [N, C] on the CPU; rows sum to 1; columns are those of :attr:`classes`.

        Raises:
            UserError: for another type, shape or number of bands.
            DataError: naming the first file that cannot be read.
        """
        found = [torch.empty(0, len(self.classes))]
        with torch.inference_mode(), self._device.autocast():
            for images_u8 in self._batches(images):
                logits = self._logits(self._device.put(images_u8))
                found.append(logits.float().softmax(1).cpu())
        return torch.cat(found)

    def predict_names(self, images: Any) -> list[str]:
        """Return the likeliest class of each image, by its folder name."""
        return [self.classes[k] for k in self.predict(images).argmax(1).tolist()]

    def _batches(self, images: Any) -> Iterator[Tensor]:
        """Yield uint8 images [B, bands, H, W]; files are decoded a batch at a time."""
        size = batch_size(self._device)
        if isinstance(images, str | Path):
            images = [images]
        if isinstance(images, Sequence) and all(isinstance(one, str | Path) for one in images):
            files, facts = [Path(one) for one in images], self.network.facts
            listed = ImageSet(files, [0] * len(files), facts.size, facts.bands, cache_bytes=0)
            listed.in_range(facts.sample_range)
            yield from (batch for batch, _ in listed.batches(size))
        else:
            yield from self._checked(images).split(size)

    def _checked(self, images: Any) -> Tensor:
        """Return the tensor of what is no list of files."""
        bands, found = self.network.facts.bands, images
        if not isinstance(images, Tensor):
            if not hasattr(images, "__array__"):
                raise UserError(
                    f"images got {type(images).__name__}, expected a tensor, an array or files"
                )
            # torch takes no negative strides, and warns of arrays that cannot be written
            array = np.require(np.asarray(images), requirements=["C", "W"])
            found = torch.from_numpy(array) if array.dtype == np.uint8 else array
        if found.dtype not in (torch.uint8, np.uint8) or found.ndim != 4 or found.shape[1] != bands:
            raise UserError(
                f"images got {found.dtype} {[*found.shape]}, expected uint8 [N, {bands}, H, W] or "
                "files"
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
    file = Path(run_or_file) if name is None else _file_of(find_run(run_or_file), name)
    if not file.is_file():
        raise NotFoundError(f"no classifier file {file}; give a run and a name, or a {CHECKPOINT}")
    where = Device(ComputeSettings.resolve(device=device))
    return Classifier(where.place(load_network(file)), file, where)


def _file_of(run: Run, name: str) -> Path:
    """Return the checkpoint of a trained classifier, else of a recipe of ``classify compare``."""
    if (run.classifiers / name / CHECKPOINT).is_file():
        return run.classifiers / name / CHECKPOINT
    compared = {path.parent.name: path for path in run.comparison.glob(f"*/{CHECKPOINT}")}
    seeds = [each for each in compared if re.fullmatch(rf"{re.escape(name)}-seed\d+", each)]
    if name in compared or seeds:
        return compared[name if name in compared else min(seeds, key=_seed_of)]
    trained = [path.parent.name for path in run.classifiers.glob(f"*/{CHECKPOINT}")]
    known = ", ".join(sorted([*trained, *compared])) or "none"
    raise NotFoundError(
        f"no classifier {name!r} in run {run.name!r}; there are: {known}; train one with: "
        "classify train"
    )


def _seed_of(compared: str) -> int:
    return int(compared.rpartition("-seed")[2])
