"""Feature pyramids over image classifiers: residual and VGG networks of torchvision, all of timm's.

timm's need maps of strides 4, 8, 16 and 32, for images of any size.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import timm
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops.feature_pyramid_network import (
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from classify.detection.models.backbone_weights import load_initial_weights
from classify.detection.models.norms import group_norm
from classify.detection.settings.backbone import BackboneNorm
from tgn.models.settings import FROM_SCRATCH
from tgn.runtime.errors import UserError

STRIDES = (4, 8, 16, 32)


class _Layers(NamedTuple):
    """The layers of a network of torchvision that give the maps of STRIDES."""

    layers: tuple[str, ...]
    channels: tuple[int, ...]


_RESIDUAL = ("layer1", "layer2", "layer3", "layer4")
_VGG_CHANNELS = (128, 256, 512, 512)
_TORCHVISION: Mapping[str, _Layers] = {
    "resnet18": _Layers(_RESIDUAL, (64, 128, 256, 512)),
    "resnet34": _Layers(_RESIDUAL, (64, 128, 256, 512)),
    "resnet50": _Layers(_RESIDUAL, (256, 512, 1024, 2048)),
    "resnet101": _Layers(_RESIDUAL, (256, 512, 1024, 2048)),
    # The second to fifth pooling layers.
    "vgg11": _Layers(("5", "10", "15", "20"), _VGG_CHANNELS),
    "vgg16": _Layers(("9", "16", "23", "30"), _VGG_CHANNELS),
    "vgg11_bn": _Layers(("7", "14", "21", "28"), _VGG_CHANNELS),
    "vgg16_bn": _Layers(("13", "23", "33", "43"), _VGG_CHANNELS),
}


class PyramidForm(NamedTuple):
    """What a feature pyramid is like, over any backbone."""

    channels: int  # of its maps
    is_dense: bool  # maps of strides 64 and 128 are added, for dense detectors; else of 64
    finest: int = 4  # stride of the first map, 4 or 8
    norm: bool = False  # group normalisation after each convolution, so that levels weigh alike


class Pyramid(nn.Module):
    """A feature pyramid over the stages of a network, as torchvision's detectors take it.

    Args:
        body: images [B, 3, H, W] -> the maps of its stages by name.
        stages: module of ``body`` with which each stage ends.
        in_channels: of each map.
        form: of the pyramid.
    """

    def __init__(
        self,
        body: nn.Module,
        stages: Sequence[str],
        in_channels: Sequence[int],
        form: PyramidForm,
    ) -> None:
        super().__init__()
        channels, norm = form.channels, group_norm if form.norm else None
        self.body, self.stages, self.out_channels = body, tuple(stages), channels
        extra = LastLevelP6P7(channels, channels) if form.is_dense else LastLevelMaxPool()
        self.fpn = FeaturePyramidNetwork(list(in_channels), channels, extra, norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map [B, 3, H, W] to maps [B, channels, H / stride, W / stride], the largest first."""
        return self.fpn(self.body(images))


class TimmStages(nn.Module):
    """The maps of some stages of a network of timm.

    Args:
        net: of timm; what follows the last stage is removed.
        indices: of the stages, in its ``feature_info``.
    """

    def __init__(self, net: Any, indices: Sequence[int]) -> None:
        super().__init__()
        self.indices = net.prune_intermediate_layers(list(indices), prune_norm=True)
        self.net = net

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Map [B, 3, H, W] to [B, D, h, w] of each stage."""
        maps = self.net.forward_intermediates(images, indices=self.indices, intermediates_only=True)
        return OrderedDict((str(k), one) for k, one in enumerate(maps))


def build_pyramid(
    name: str, form: PyramidForm, weights: str = FROM_SCRATCH, frozen_norm: bool = False
) -> Pyramid:
    """Build a backbone with its feature pyramid.

    Args:
        name: of the backbone, in torchvision (residual and VGG networks) or timm.
        form: of the pyramid.
        weights: as :func:`load_initial_weights` takes them.
        frozen_norm: whether the backbone's batch normalisation is frozen, affine weights included.

    Raises:
        UserError: for an unknown network, one without the maps, or weights that do not fit.
    """
    first = STRIDES.index(form.finest)
    if name in _TORCHVISION:
        body, stages, in_channels = _torchvision_stages(name, weights, frozen_norm, first)
    else:
        body, stages, in_channels = _timm_stages(name, weights, frozen_norm, first)
    return Pyramid(body, stages, in_channels, form)


def _torchvision_stages(
    name: str, weights: str, frozen_norm: bool, first: int
) -> tuple[nn.Module, Sequence[str], Sequence[int]]:
    net: Any = getattr(models, name)(weights=None)
    for head in ("fc", "classifier"):
        if hasattr(net, head):
            setattr(net, head, nn.Identity())
    load_initial_weights(net, name, weights)
    net = _frozen(net, frozen_norm)
    layers, channels = _TORCHVISION[name]
    levels = {layer: str(k) for k, layer in enumerate(layers) if k >= first}
    backbone = net.features if name.startswith("vgg") else net
    return IntermediateLayerGetter(backbone, levels), layers, channels[first:]


def _timm_stages(
    name: str, weights: str, frozen_norm: bool, first: int
) -> tuple[nn.Module, Sequence[str], Sequence[int]]:
    if not timm.is_model(name):
        raise UserError(
            f"backbone={name}: neither torchvision nor timm has it; expected one of "
            f"{', '.join(_TORCHVISION)}, or a network of timm with maps of strides 4, 8, 16 and 32"
        )
    net: Any = timm.create_model(name, pretrained=False, num_classes=0)
    rows = getattr(net, "feature_info", [])
    rows = rows if isinstance(rows, list) else rows.info
    index = {row["reduction"]: k for k, row in enumerate(rows)}  # the last map of a stride
    if not index.keys() >= set(STRIDES) or net.pretrained_cfg.get("fixed_input_size"):
        raise UserError(
            f"backbone={name} has no maps of strides 4, 8, 16 and 32 for images of any size; "
            "take a convolutional network, e.g. tf_efficientnet_lite0, mobilenetv2_100, resnet50"
        )
    load_initial_weights(net, name, weights)
    chosen = [index[stride] for stride in STRIDES]
    stages = [f"net.{rows[k]['module']}" for k in chosen]
    channels = [rows[k]["num_chs"] for k in chosen[first:]]
    return TimmStages(_frozen(net, frozen_norm), chosen[first:]), stages, channels


def _frozen(net: nn.Module, frozen_norm: bool) -> nn.Module:
    return freeze_batch_norm_2d(net) if frozen_norm else net


def freeze_stages(pyramid: Pyramid, count: int) -> None:
    """Freeze the first stages of a backbone.

    Args:
        pyramid: from :func:`build_pyramid`.
        count: 0 to 4; the stem is frozen with the first stage.
    """
    if count == 0:
        return
    named = list(pyramid.body.named_parameters())  # in the order of the layers
    end = pyramid.stages[count - 1] + "."
    # A stage may end with a layer without weights, as pooling: all before it is then frozen.
    last = max((k for k, (name, _) in enumerate(named) if _is_before(name, end)), default=-1)
    for _, parameter in named[: last + 1]:
        parameter.requires_grad_(False)


def _is_before(name: str, end: str) -> bool:
    """Return whether a parameter lies in a module, or before it where modules are numbered."""
    if name.startswith(end):
        return True
    own, limit = name.partition(".")[0], end.rstrip(".")
    return own.isdecimal() and limit.isdecimal() and int(own) <= int(limit)


def hold_norms(pyramid: Pyramid, norm: BackboneNorm) -> None:
    """Put batch normalisation of the backbone into eval mode where its statistics are fixed.

    Args:
        pyramid: put into training mode before.
        norm: see :class:`DetectSettings`.
    """
    if norm != "statistics":
        return
    for module in pyramid.body.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
