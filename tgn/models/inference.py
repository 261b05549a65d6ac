"""A classifier applied to a whole image set."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.runtime.devices import Device


@torch.inference_mode()
def predictions(
    net: torch.nn.Module, images: ImageSet, device: Device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a :class:`TappedNet`'s logits [B, C], float32 on the CPU, with labels [B]."""
    was_training = net.training
    net.eval()
    for images_u8, labels in images.batches(256):
        with device.autocast():
            logits = net(to_pm1(device.put(images_u8))).logits
        yield logits.float().cpu(), labels
    net.train(was_training)
