"""Feature extractors: frozen networks by a short name, with their provenance."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import timm
import torch
import torchvision
from torch import Tensor, nn

from tgn.models.backbones import load_classifier, load_imagenet_backbone
from tgn.models.classifier_facts import read_facts
from tgn.models.clip import ClipGuide, clip_sha256, load_clip
from tgn.models.feature_networks import (
    ClipFeatures,
    FeatureNetwork,
    ImagenetFeatures,
    TailFeatures,
    build_inception,
    build_timm,
    build_torchvision,
)
from tgn.models.judge import AUTO, IMAGENET_PREFIX, choose_judge
from tgn.models.pretrained import IMAGENET, file_of
from tgn.models.provenance import Provenance
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.progress import Progress

BATCH_SIZE = 64
TAIL = "tail"
CHOICES = (
    "auto, imagenet/ARCH (weights from pip, e.g. imagenet/mobilenetv2_100), FILE (a classifier of "
    "this toolkit), NAME:FILE (a torchvision or timm network, e.g. "
    "resnet50:/path/to/resnet50.safetensors), inception:FILE or clip/ARCH:FILE"
)
NO_IMAGE_OF_THE_RUN = "ImageNet only: none of these images"
USE_TAIL_NET = "use the run's tail net (extractor=tail)"
CLIP_REMEDY = "use extractor=clip/ARCH:/path/to/file, or another extractor"


class Images(Protocol):
    """N images of one size, read in batches; :class:`tgn.data.image_set.ImageSet` is one."""

    def __len__(self) -> int: ...

    def batch(self, index: Tensor) -> Tensor:
        """Return uint8 images [B, bands, H, W] of the rows in ``index`` [B]."""


@dataclass(frozen=True)
class TensorImages:
    """Images in memory, read in batches."""

    images_u8: Tensor  # [N, bands, H, W]

    def __len__(self) -> int:
        return len(self.images_u8)

    def batch(self, index: Tensor) -> Tensor:
        """Return uint8 images [B, bands, H, W] of the rows in ``index`` [B]."""
        return self.images_u8[index]


@dataclass(frozen=True)
class Extractor:
    """A frozen network from images to features, and where it comes from.

    Attributes:
        name: ``tail``, ``inception`` or the network's name.
        dimension: D.
        weights_sha256: of the weights file.
        network: uint8 images [B, bands, H, W] to features [B, D].
        seen: which of the compared images it was trained on, in words; None: unknown.
    """

    name: str
    dimension: int
    weights_sha256: str
    network: FeatureNetwork
    seen: str | None = None

    @property
    def provenance(self) -> Provenance:
        """Return the network, its weights and its resize rule, for a result file."""
        return Provenance(
            name=self.name,
            dimension=self.dimension,
            weights_sha256=self.weights_sha256,
            resize=self.network.resize_rule,
            seen=self.seen,
        )

    def features(self, images: Images, device: Device, progress: Progress) -> Tensor:
        """Return the features of a whole set, float32 [N, D], on the CPU."""
        progress.start(f"features ({self.name})", len(images))
        return apply_network(self.network, images, device, progress)


def exact_convolutions() -> AbstractContextManager[None]:
    """Return the context of networks for metrics: no TensorFloat-32, which rounds to 10 bits."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


@torch.inference_mode()
def apply_network(network: nn.Module, images: Images, device: Device, progress: Progress) -> Tensor:
    """Return a network's outputs for a set in its order, in float32 on every device.

    Every process computes its share of the batches and gets the whole result; all must call.

    Args:
        network: uint8 images [B, bands, H, W] to a tensor [B, ...].
        images: N images, N >= 1.
        device: where to compute.
        progress: advanced after every batch.

    Returns:
        float32 [N, ...] on the CPU.
    """
    network = device.place(network)
    batches = torch.arange(len(images)).split(BATCH_SIZE)

    def apply(rows: Tensor) -> Tensor:
        return network(device.put(images.batch(rows))).float()

    with exact_convolutions():
        first = apply(batches[0])  # by all processes: its shape is that of every batch
        table = first.new_zeros(len(images), *first.shape[1:])
        for number, rows in enumerate(batches):
            if number % device.processes == device.rank:
                table[rows] = apply(rows) if number else first
            progress.advance(len(rows))
    return device.total(table).cpu()


def load_extractor(
    spec: str | Path, tail_net: Path | None = None, otherwise: str = USE_TAIL_NET
) -> Extractor:
    """Build an extractor by its short name.

    Args:
        spec: ``imagenet/ARCH`` for a network whose weights an installed package carries; ``auto``
            for the one of them that :func:`tgn.models.judge.choose_judge` takes, if only the tail
            net was trained against; ``tail`` for a run's tail net; ``FILE`` for a classifier of
            this toolkit, whose stage-3 features are taken; ``inception:FILE``; ``NAME:FILE`` for a
            network of torchvision, else of timm; ``timm/NAME:FILE`` where both libraries have the
            name and timm's is meant; ``clip/ARCH:FILE`` or ``clip/ARCH:TAG`` for a CLIP of
            open_clip.
        tail_net: checkpoint of the run's tail net, which ``tail`` needs and ``auto`` looks at.
        otherwise: what to do where a package with weights is not installed, for the message.

    Returns:
        The extractor, frozen and in eval mode.

    Raises:
        UserError: for an unknown name, or a file that is missing or does not fit.
    """
    if spec == AUTO:
        spec = choose_judge(tail_net)
    if spec == TAIL:
        return _extractor(TAIL, _tail_net(tail_net))
    if str(spec).startswith(IMAGENET_PREFIX):
        return _imagenet_extractor(str(spec), otherwise)
    if isinstance(spec, Path) or ":" not in spec:
        return _classifier_extractor(spec)
    if spec.startswith("clip/"):
        source = spec.removeprefix("clip/")
        return clip_extractor(source, load_clip(source, [["a place"]], CLIP_REMEDY).freeze())
    name, _, file = spec.partition(":")
    if not file:
        raise UserError(f"extractor got {spec!r}, expected {CHOICES}")
    return _extractor(name, Path(file))


def clip_extractor(spec: str, guide: ClipGuide) -> Extractor:
    """Return the image encoder of a CLIP as an extractor.

    Args:
        spec: ``ARCH:FILE`` or ``ARCH:TAG`` that it was loaded from.
        guide: the loaded CLIP.
    """
    dimension = guide.prompt_embeddings().shape[1]
    return Extractor(
        f"clip {spec}", dimension, clip_sha256(spec, guide), ClipFeatures(guide).eval()
    )


def _imagenet_extractor(name: str, otherwise: str) -> Extractor:
    entry = IMAGENET.get(name.removeprefix(IMAGENET_PREFIX))
    if entry is None:
        valid = ", ".join(f"{IMAGENET_PREFIX}{arch}" for arch in IMAGENET)
        raise UserError(f"extractor got {name!r}; with weights from pip: {valid}")
    file_of(entry, otherwise)
    network = ImagenetFeatures(load_imagenet_backbone(entry.arch, ImagenetFeatures.SIZE)).eval()
    return Extractor(name, _dimension(network), entry.sha256, network, NO_IMAGE_OF_THE_RUN)


def _tail_net(file: Path | None) -> Path:
    if file is None:
        raise UserError(
            "extractor got 'tail', the tail net of a run, but there is no run; add --run NAME, or "
            f"give {CHOICES}"
        )
    return file


def _classifier_extractor(spec: str | Path) -> Extractor:
    """Build the extractor of a classifier file of this toolkit, which names its network itself."""
    path = Path(spec)
    if not path.is_file():
        if isinstance(spec, Path) or path.suffix:
            raise NotFoundError(f"extractor got {str(spec)!r}, no such file; expected {CHOICES}")
        raise UserError(f"extractor got {spec!r}, expected {CHOICES}")
    facts = read_facts(path)
    if facts is None:
        raise UserError(
            f"extractor got {path}, which is no classifier of this toolkit; name its network: "
            f"NAME:{path}, e.g. resnet50:{path}"
        )
    network = TailFeatures(load_classifier(path)).eval().requires_grad_(False)
    return Extractor(f"classifier-{facts.arch}", _dimension(network), sha256_of(path), network)


def _extractor(name: str, path: Path) -> Extractor:
    network = _build(name, path).eval().requires_grad_(False)
    return Extractor(name, _dimension(network), sha256_of(path), network)


def _build(name: str, path: Path) -> FeatureNetwork:
    if name == TAIL:
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
