"""Prediction of the classes of image files, as a stream."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from tgn.data.image_files import images_below, is_folder
from tgn.data.image_set import ImageSet
from tgn.data.images import SUFFIXES, to_pm1
from tgn.data.shards import IMAGE_BYTES
from tgn.models.backbones import TappedNet
from tgn.models.inference import batch_size, class_logits
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, NotFoundError, UserError
from tgn.runtime.regular_files import NotReadableError, check_regular

OnBroken = Callable[[UserError], None]


def _fail(error: UserError) -> None:
    raise error


class Prediction(NamedTuple):
    """The most likely classes of an image, most likely first."""

    file: Path
    classes: tuple[tuple[str, float], ...]  # folder and probability in [0, 1]


def files_in(paths: Iterable[Path], on_broken: OnBroken = _fail) -> Iterator[Path]:
    """Yield files as given, and the images in folders at any depth, sorted; no hidden ones.

    Args:
        paths: of files and folders.
        on_broken: gets a NotFoundError for a folder without images, and a DataError for each file
            in a folder that should be an image and cannot be read; raises it if not given.
    """
    for path in paths:
        if not is_folder(path):
            if (problem := _problem(path)) is None:
                yield path
            else:
                on_broken(problem)
            continue
        found = images_below(path)
        for file, reason in found.broken:
            on_broken(DataError(f"{file}: {reason}"))
        if not (found.images or found.broken):
            kinds = ", ".join(sorted(SUFFIXES))
            on_broken(NotFoundError(f"no images in {path}; expected {kinds}"))
        yield from found.images


def _problem(path: Path) -> UserError | None:
    """Return why a path that was named cannot be an image, before it is opened."""
    try:
        check_regular(path, IMAGE_BYTES)
    except FileNotFoundError:
        return NotFoundError(f"no image or folder {path}")
    except NotReadableError as error:
        return error
    except (OSError, ValueError) as error:  # a name with "\0"
        return DataError(f"{str(path)!r}: {getattr(error, 'strerror', None) or error}")
    return None


@torch.inference_mode()
def predict(
    net: TappedNet,
    files: Iterable[Path],
    device: Device,
    top: int = 1,
    on_broken: OnBroken = _fail,
) -> Iterator[Prediction]:
    """Yield the ``top`` classes of each image; one batch of images is in memory at a time.

    Args:
        net: in eval mode, on the device.
        files: images of any size; they may be read lazily.
        device: of the network.
        top: how many classes of each image, at most C.
        on_broken: gets a DataError that names a file which cannot be read, and the others go on;
            raises it if not given.
    """
    folders = net.facts.folders
    for paths in _batches(files, batch_size(device)):
        read, images_u8 = _read(paths, net, on_broken)
        if not read:
            continue
        with device.autocast():
            logits = class_logits(net, to_pm1(device.put(images_u8)))
        values, places = logits.float().softmax(1).cpu().topk(min(top, len(folders)))
        for file, row, classes in zip(read, values.tolist(), places.tolist(), strict=True):
            pairs = zip((folders[k] for k in classes), row, strict=True)
            yield Prediction(file, tuple(pairs))


def _read(
    paths: list[Path], net: TappedNet, on_broken: OnBroken
) -> tuple[list[Path], torch.Tensor]:
    """Return the files that can be read, and their pixels [B, bands, H, W]."""

    def decoded(some: list[Path]) -> torch.Tensor:
        images = ImageSet(some, [0] * len(some), net.facts.size, net.facts.bands, cache_bytes=0)
        return images.in_range(net.facts.sample_range).batch(torch.arange(len(some)))

    try:
        return paths, decoded(paths)
    except DataError:  # names one file; find all
        pass
    read, pixels = [], [decoded([])]
    for path in paths:
        try:
            pixels.append(decoded([path]))
            read.append(path)
        except DataError as error:
            on_broken(error)
    return read, torch.cat(pixels)


def _batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    batch: list[Path] = []
    for file in files:
        batch.append(file)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
