"""The frozen ImageNet network in whose features generators are trained."""

from tgn.models.backbones import TappedNet, load_imagenet_backbone
from tgn.models.training_networks import TrainingNetwork, imagenet_network
from tgn.runtime.devices import Device

ARCH = "tf_efficientnet_lite0"


def load_frozen_network(size: int, bands: int, device: Device) -> TappedNet:
    """Return the network for images [B, bands, size, size], on the device.

    Raises:
        UserError: if the package with its weights is not installed.
    """
    network: TappedNet = device.place(load_imagenet_backbone(ARCH, size, bands))
    return network


def frozen_network() -> TrainingNetwork:
    """Return what a generator's file says of it."""
    return imagenet_network(ARCH)
