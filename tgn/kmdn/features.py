"""The feature bank: which images it holds, and their features by a trained tail net."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.data.augmentation import dihedral
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import TappedNet
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator

BATCH_SIZE = 128


@torch.inference_mode()
def pooled_features(net: TappedNet, images_pm1: Tensor, grid: int, device: Device) -> Tensor:
    """Return stage-3 features of images, averaged to at most ``grid`` x ``grid``.

    Args:
        net: frozen.
        images_pm1: [B, bands, H, W].
        grid: largest g.
        device: where to compute.

    Returns:
        float16 [B, D, g, g] on the CPU.
    """
    with device.autocast():
        features = net(images_pm1).features
    if features.shape[-1] > grid:
        features = F.adaptive_avg_pool2d(features.float(), grid)
    return features.half().cpu()


def head_rows(labels: Tensor, num_head: int, seed: int) -> Tensor:
    """Return the rows of the head classes' images in the bank, class by class.

    They are random ones, of each head class as many as the largest tail class has.

    Args:
        labels: class indices of the training images, [N].
        num_head: number of head classes, the first in class order.
        seed: of the whole run.
    """
    most = int(torch.bincount(labels)[num_head:].max())
    chosen = []
    for label in range(num_head):
        rows = (labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "bank", label))
        chosen.append(rows[order[:most].sort().values])
    return torch.cat(chosen)


def feature_bank(
    net: TappedNet, images: ImageSet, settings: DistillSettings, device: Device
) -> Tensor:
    """Return the features of V augmented views (symmetries) of all images.

    Args:
        net: the frozen tail net.
        images: training images, N.
        settings: ``bank_grid`` is the largest g, ``bank_views`` is V.
        device: where to compute.

    Returns:
        float16 [N, V, D, g, g] on the CPU.
    """
    rows = []
    for images_u8, _ in images.batches(BATCH_SIZE):
        images_pm1 = to_pm1(device.put(images_u8))
        views = [
            pooled_features(net, dihedral(images_pm1, code), settings.bank_grid, device)
            for code in range(settings.bank_views)
        ]
        rows.append(torch.stack(views, dim=1))
    return torch.cat(rows)
