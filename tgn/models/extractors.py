"""Extractors: a frozen network by a short name, with everything needed to name it in a result."""

from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn

from tgn.data.image_set import ImageSet
from tgn.models.backbones import load_classifier
from tgn.models.clip import ClipGuide, load_clip
from tgn.models.feature_networks import (
    ClipFeatures,
    FeatureNetwork,
    TailFeatures,
    build_inception,
    build_timm,
    build_torchvision,
)
from tgn.models.provenance import Provenance
from tgn.runtime.checkpoints import sha256_of_weights
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress

BATCH_SIZE = 64


@dataclass(frozen=True)
class Extractor:
    """Turns images into features.

    Attributes:
        name: ``tail``, ``inception`` or the network's name.
        dimension: D.
        weights_sha256: of the weights file.
        network: [B, bands, H, W] bytes to features [B, D].
    """

    name: str
    dimension: int
    weights_sha256: str
    network: FeatureNetwork

    @property
    def provenance(self) -> Provenance:
        """What it is, for the result."""
        return Provenance(
            name=self.name,
            dimension=self.dimension,
            weights_sha256=self.weights_sha256,
            resize=self.network.resize_rule,
        )

    def features(self, images: ImageSet, device: Device, progress: Progress) -> Tensor:
        """Features of a whole set, float32 [N, D], on the CPU."""
        progress.start(f"features ({self.name})", len(images))
        return apply_network(self.network, images, device, progress)


@torch.inference_mode()
def apply_network(
    network: nn.Module, images: ImageSet, device: Device, progress: Progress
) -> Tensor:
    """Apply a network of bytes to a set in its order, in float32 whatever the device's precision.

    Every process takes batches in turn and gets the whole result; all must call.

    Args:
        network: [B, bands, H, W] bytes to a tensor [B, ...].
        images: N images, N >= 1.
        device: where to compute.
        progress: told of every batch.

    Returns:
        float32 [N, ...] on the CPU.
    """
    network = device.place(network)
    batches = torch.arange(len(images)).split(BATCH_SIZE)

    def apply(rows: Tensor) -> Tensor:
        return network(device.put(images.batch(rows))).float()

    # Figures must not depend on a GPU's liberty to round products to 10 bits.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        first = apply(batches[0])  # by all: it tells the shape
        table = first.new_zeros(len(images), *first.shape[1:])
        for number, rows in enumerate(batches):
            if number % device.processes == device.rank:
                table[rows] = apply(rows) if number else first
            progress.advance(len(rows))
    return device.total(table).cpu()


def load_extractor(spec: str, tail_file: Path) -> Extractor:
    """Build an extractor by its short name.

    Args:
        spec: ``tail``; ``inception:FILE``; ``NAME:FILE`` for a network of torchvision, else of
            timm; ``timm/NAME:FILE`` where both libraries have the name and timm's is meant;
            ``clip/ARCH:FILE`` or ``clip/ARCH:TAG`` for a CLIP of open_clip.
        tail_file: checkpoint of the run's tail net.

    Returns:
        The extractor, frozen and in eval mode.

    Raises:
        UserError: for an unknown name, a file that is not there or does not fit.
    """
    if spec.startswith("clip/"):
        source = spec.removeprefix("clip/")
        return clip_extractor(source, load_clip(source, [["a place"]]).freeze())
    name, _, file = spec.partition(":")
    path = tail_file if name == "tail" else Path(file)
    if name != "tail" and not file:
        raise UserError(
            f"extractor got {spec!r}, expected tail, inception:FILE, clip/ARCH:FILE, or NAME:FILE "
            "of a torchvision or timm network, e.g. resnet50:/path/to/resnet50.safetensors"
        )
    network = _build(name, path).eval().requires_grad_(False)
    return Extractor(name, _dimension(network), sha256_of(path), network)


def clip_extractor(spec: str, guide: ClipGuide) -> Extractor:
    """Return the image half of a loaded CLIP as an extractor; ``spec`` says whence it came."""
    source = Path(spec.partition(":")[2])
    sha256 = sha256_of(source) if source.is_file() else sha256_of_weights(guide.model)
    dimension = guide.prompt_embeddings().shape[1]
    return Extractor(f"clip {spec}", dimension, sha256, ClipFeatures(guide).eval())


def _build(name: str, path: Path) -> FeatureNetwork:
    if name == "tail":
        return TailFeatures(load_classifier(path))
    if name == "inception":
        return build_inception(path)
    if name in torchvision.models.list_models(module=torchvision.models):
        return build_torchvision(name, path)
    bare = name.removeprefix("timm/")
    if timm.is_model(bare):
        return build_timm(bare, path)
    raise UserError(
        f"unknown extractor {name!r}: no network of torchvision or timm has this name; "
        "e.g. squeezenet1_0, resnet50, timm/resnet50"
    )


@torch.inference_mode()
def _dimension(network: FeatureNetwork) -> int:
    return int(network(torch.zeros(1, network.bands, 64, 64, dtype=torch.uint8)).shape[1])
