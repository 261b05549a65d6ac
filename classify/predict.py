"""The class of single images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from tgn.core.backbones import TappedNet
from tgn.core.data import ImageSet
from tgn.core.devices import Device
from tgn.core.images import to_pm1

BATCH_SIZE = 64


@torch.inference_mode()
def predict(
    net: TappedNet, files: Sequence[Path], device: Device
) -> Iterator[tuple[Path, str, float]]:
    """Yield (file, class folder, probability in [0, 1]) of each image.

    Raises:
        DataError: naming the first file that cannot be read.
    """
    images = ImageSet(files, [0] * len(files), net.facts.size, net.facts.bands)
    place = 0
    for images_u8, _ in images.batches(BATCH_SIZE):
        with device.autocast():
            logits = net(device.put(to_pm1(images_u8))).logits
        for row in logits.float().softmax(1).cpu():
            yield files[place], net.facts.folders[int(row.argmax())], float(row.max())
            place += 1
