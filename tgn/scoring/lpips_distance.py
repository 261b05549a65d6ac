"""LPIPS (learned perceptual image patch similarity) of a backbone file, or ST-LPIPS."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lpips
import torch
from torch import Tensor, nn

from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.metrics.pair_diversity import PairDistances, pair_distances
from tgn.models.pretrained import PERCEPTUAL
from tgn.models.provenance import Provenance
from tgn.runtime.checkpoints import load_strictly, load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.scoring.shift_tolerant_lpips import load_shift_tolerant

BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""From the lpips name of a backbone to torchvision's name of the network whose file it needs."""
SMALLEST_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17, "st-alex": 21, "st-vgg": 18}
"""Of an image, in pixels: a smaller one has no pixel left in the deepest layers."""


@dataclass(frozen=True)
class LpipsDistance:
    """An LPIPS network and where its weights come from.

    Attributes:
        setting: name of the network in the setting ``lpips``.
        name: of the distance and its network, for a result file.
        weights_sha256: of the file.
        net: two [B, 3, H, W] batches in [-1, 1] to distances [B, 1, 1, 1].
    """

    setting: str
    name: str
    weights_sha256: str
    net: nn.Module

    @property
    def provenance(self) -> Provenance:
        """Return the network, its weights and its resize rule, for a result file."""
        return Provenance(
            name=self.name,
            dimension=None,
            weights_sha256=self.weights_sha256,
            resize="none",
        )

    def check_side(self, side: int) -> None:
        """Raise a UserError if images of ``side`` pixels are too small for the network."""
        smallest = SMALLEST_SIDE[self.setting]
        if side < smallest:
            raise UserError(
                f"lpips={self.setting} got images of {side} px, expected at least {smallest}; add "
                f"--set size={max(smallest, 32)} to read them larger, or leave lpips out"
            )

    @torch.inference_mode()
    def distance(self, first_u8: Tensor, second_u8: Tensor) -> Tensor:
        """Return the LPIPS distance of image pairs.

        Args:
            first_u8: [B, bands, H, W], 3 bands or 1.
            second_u8: the other image of each pair, same shape.

        Returns:
            Distances [B], >= 0.
        """
        device = next(self.net.parameters()).device
        first, second = (
            to_pm1(images).expand(-1, 3, -1, -1).to(device) for images in (first_u8, second_u8)
        )
        return self.net(first, second).flatten().cpu()

    def pair_distances(
        self, images: ImageSet, rows: Tensor, seed: int, max_pairs: int = 500
    ) -> PairDistances:
        """Return LPIPS distances of random pairs of a set.

        Args:
            images: the set.
            rows: which images, int64 [N], N >= 2.
            seed: of the pairs.
            max_pairs: most pairs computed.
        """
        return pair_distances(
            len(rows),
            lambda i, j: self.distance(images.batch(rows[i]), images.batch(rows[j])),
            seed,
            max_pairs,
            batch_size=32,
        )


def load_lpips(spec: str) -> LpipsDistance:
    """Build LPIPS from ``name:/path/to/backbone``, or ST-LPIPS from its name.

    Args:
        spec: ``alex``, ``vgg`` or ``squeeze``, a colon, and a weights file of torchvision's
            ``alexnet``, ``vgg16`` or ``squeezenet1_1``; or ``st-alex`` or ``st-vgg``, whose weights
            an installed package carries.

    Returns:
        The network, frozen and in eval mode.

    Raises:
        UserError: for an unknown name, a file or package that is not there, or weights of another
            network.
    """
    if spec in PERCEPTUAL:
        shift_tolerant, entry = load_shift_tolerant(spec)
        return LpipsDistance(spec, entry.name, entry.sha256, shift_tolerant)
    name, _, file = spec.partition(":")
    if name not in BACKBONES or not file:
        choices = ", ".join([*(f"{key}:FILE" for key in BACKBONES), *PERCEPTUAL])
        raise UserError(f"LPIPS got {spec!r}, expected one of {choices}")
    path = Path(file)
    weights = load_weights(path)
    net = build_lpips(name, weights, str(path))
    return LpipsDistance(name, f"lpips 0.1 {name}", sha256_of(path), net)


def build_lpips(name: str, backbone: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return LPIPS of given backbone weights and the linear layers that ship with lpips.

    Args:
        name: a key of :data:`BACKBONES`.
        backbone: weights of the whole torchvision network; its classifier is not used.
        source: where the weights come from, for the message.

    Returns:
        The network, frozen and in eval mode.

    Raises:
        UserError: for weights of another network (squeezenet1_0 is not squeezenet1_1).

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features".
    """
    with warnings.catch_warnings():
        # lpips still passes pretrained=False where torchvision expects weights=None.
        warnings.simplefilter("ignore", UserWarning)
        net = lpips.LPIPS(net=name, pnet_rand=True, verbose=False)
    slot_of = {_torchvision_key(slot): slot for slot in net.net.state_dict()}
    given = {
        slot_of.get(key, key): tensor
        for key, tensor in backbone.items()
        if key.startswith("features.")
    }
    try:
        load_strictly(net.net, given, source)
    except UserError as error:
        raise UserError(
            f"LPIPS {name!r} needs a file of torchvision's {BACKBONES[name]} weights: {error}"
        ) from None
    return net.eval().requires_grad_(False)


def _torchvision_key(slot: str) -> str:
    # lpips cuts the layers into slices but keeps their numbers: slice2.3.weight, features.3.weight.
    return "features." + slot.partition(".")[2]
