"""What a classifier says of images: the mean over its views of each, wherever it is used."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tgn.data.augmentation import dihedral
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.models.backbones import TappedNet
from tgn.runtime.devices import Device


def batch_size(device: Device) -> int:
    """Return how many images are seen at a time where no gradients are kept.

    On CPUs larger batches leave the caches: EfficientNet-Lite0 at 128 px takes 1.8 times as long by
    256 images as by 32.
    """
    return 256 if device.is_gpu else 32


def class_logits(net: TappedNet, images_pm1: Tensor) -> Tensor:
    """Return the logits [B, C] of images_pm1 [B, bands, S, S], means over the views of each.

    The views are the first ``facts.test_symmetries`` symmetries of the square. The softmax of mean
    logits is the geometric mean of the views' probabilities, scaled to sum to 1.
    """
    views = net.facts.test_symmetries
    if views == 1:
        return net(images_pm1).logits
    logits = [net(dihedral(images_pm1, code)).logits.float() for code in range(views)]
    return torch.stack(logits).mean(0)


@torch.inference_mode()
def predictions(
    net: TappedNet, images: ImageSet, device: Device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits [B, C] of a whole image set, float32 on the CPU, with labels [B]."""
    was_training = net.training
    net.eval()
    for images_u8, labels in images.batches(batch_size(device)):
        with device.autocast():
            logits = class_logits(net, to_pm1(device.put(images_u8)))
        yield logits.float().cpu(), labels
    net.train(was_training)
