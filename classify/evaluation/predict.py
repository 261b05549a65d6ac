"""Prediction of the classes of image files, as a stream."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from tgn.data.image_set import ImageSet
from tgn.data.images import SUFFIXES, to_pm1
from tgn.models.backbones import TappedNet
from tgn.models.inference import batch_size, class_logits
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError


class Prediction(NamedTuple):
    """The most likely classes of an image, most likely first."""

    file: Path
    classes: tuple[tuple[str, float], ...]  # folder and probability in [0, 1]


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files as given, and the images in folders at any depth, sorted.

    Raises:
        NotFoundError: for a path that does not exist, or a folder without images.
    """
    for path in paths:
        if path.is_file():
            yield path
            continue
        if not path.is_dir():
            raise NotFoundError(f"no image or folder {path}")
        inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
        if not inside:
            raise NotFoundError(f"no images in {path}; expected {', '.join(sorted(SUFFIXES))}")
        yield from inside


@torch.inference_mode()
def predict(
    net: TappedNet, files: Iterable[Path], device: Device, top: int = 1
) -> Iterator[Prediction]:
    """Yield the ``top`` classes of each image; one batch of images is in memory at a time.

    Args:
        net: in eval mode, on the device.
        files: images of any size; they may be read lazily.
        device: of the network.
        top: how many classes of each image, at most C.

    Raises:
        DataError: naming the first file that cannot be read.
    """
    folders = net.facts.folders
    for paths in _batches(files, batch_size(device)):
        images = ImageSet(paths, [0] * len(paths), net.facts.size, net.facts.bands, cache_bytes=0)
        images.in_range(net.facts.sample_range)
        images_u8 = images.batch(torch.arange(len(paths)))
        with device.autocast():
            logits = class_logits(net, to_pm1(device.put(images_u8)))
        values, places = logits.float().softmax(1).cpu().topk(min(top, len(folders)))
        for file, row, classes in zip(paths, values.tolist(), places.tolist(), strict=True):
            pairs = zip((folders[k] for k in classes), row, strict=True)
            yield Prediction(file, tuple(pairs))


def _batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for file in files:
        batch.append(file)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
