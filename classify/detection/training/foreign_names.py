"""The names that detectors of other programs give our layers: mmdetection's, old torchvision's.

Of mmdetection and its descendants, layers of equal form only: boxes have the same anchors, order
and scale there. Layers of classes are not among them, nor are the pyramid's last ones: the map of
stride 128 is made of that of stride 64 without a ReLU there, and RetinaNet's of stride 64 of the
backbone's last one.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from classify.detection.models.dense import TOWER_DEPTH
from classify.detection.settings.head import DetectorName

_Rules = tuple[tuple[str, str], ...]
_BACKBONE: _Rules = (
    (r"backbone\.features\.(.+)", r"backbone.body.\1"),  # of VGG
    (r"backbone\.(.+)", r"backbone.body.\1"),
    (r"neck\.lateral_convs\.(\d)\.conv\.(.+)", r"backbone.fpn.inner_blocks.\1.0.\2"),
)
_LATERAL = re.compile(r"neck\.lateral_convs\.\d\.conv\.weight")
_OLD_TORCHVISION: _Rules = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"(rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
    *(
        (rf"(head\.\w+_head\.conv)\.{2 * depth}\.(weight|bias)", rf"\1.{depth}.0.\2")
        for depth in range(TOWER_DEPTH)
    ),
)
_DENSE_HEAD: _Rules = tuple(
    rule
    for depth in range(TOWER_DEPTH)
    for theirs, ours in (("cls", "class"), ("reg", "shape"))
    for rule in (
        (rf"bbox_head\.{theirs}_convs\.{depth}\.conv\.(.+)", rf"head.{ours}_tower.{3 * depth}.\1"),
        (
            rf"bbox_head\.{theirs}_convs\.{depth}\.gn\.(.+)",
            rf"head.{ours}_tower.{3 * depth + 1}.\1",
        ),
    )
)
_RULES: Mapping[DetectorName, _Rules] = {
    "faster-rcnn": (
        (r"rpn_head\.rpn_conv\.(.+)", r"rpn.head.conv.0.0.\1"),
        (r"rpn_head\.rpn_cls\.(.+)", r"rpn.head.cls_logits.\1"),
        (r"rpn_head\.rpn_reg\.(.+)", r"rpn.head.bbox_pred.\1"),
        (r"roi_head\.bbox_head\.shared_fcs\.0\.(.+)", r"roi_heads.box_head.fc6.\1"),
        (r"roi_head\.bbox_head\.shared_fcs\.1\.(.+)", r"roi_heads.box_head.fc7.\1"),
    ),
    "retinanet": (
        (
            r"bbox_head\.cls_convs\.(\d)\.conv\.(.+)",
            r"head.classification_head.conv.\1.0.\2",
        ),
        (r"bbox_head\.reg_convs\.(\d)\.conv\.(.+)", r"head.regression_head.conv.\1.0.\2"),
        (r"bbox_head\.retina_reg\.(.+)", r"head.regression_head.bbox_reg.\1"),
    ),
    "gfl": (
        *_DENSE_HEAD,
        (r"bbox_head\.gfl_reg\.(.+)", r"head.shape.\1"),
        (r"bbox_head\.scales\.(\d)\.scale", r"head.scales.\1"),
    ),
    # The bins of the angle differ: no layer of boxes.
    "rotated-retinanet": _DENSE_HEAD,
}


def is_of_mmdetection(weights: Mapping[str, Tensor]) -> bool:
    """Return whether names are those of mmdetection: it alone calls the pyramid a neck."""
    return any(name.startswith("neck.") for name in weights)


def from_mmdetection(weights: Mapping[str, Tensor], detector: DetectorName) -> dict[str, Tensor]:
    """Return the entries that have a place in our detector, under our names.

    Args:
        weights: of a detector of mmdetection or mmrotate.
        detector: which of ours.
    """
    stages = sum(bool(_LATERAL.fullmatch(name)) for name in weights)
    return _renamed(weights, (*_BACKBONE, *_pyramid(stages, detector), *_RULES[detector]))


def from_old_torchvision(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries under the names that torchvision has given them since 0.13.

    Its COCO files of Faster R-CNN and RetinaNet over ResNet-50 are older; torchvision renames their
    entries where it loads them.
    """
    return {**weights, **_renamed(weights, _OLD_TORCHVISION)}


def _renamed(weights: Mapping[str, Tensor], given: _Rules) -> dict[str, Tensor]:
    """Return the entries that a rule has a name for; the first that fits counts."""
    rules = [(re.compile(theirs), ours) for theirs, ours in given]
    found = {}
    for name, value in weights.items():
        for theirs, ours in rules:
            if theirs.fullmatch(name):
                found[theirs.sub(ours, name)] = value
                break
    return found


def _pyramid(stages: int, detector: DetectorName) -> _Rules:
    """Return the rules of a pyramid over so many stages, behind which its other maps are listed."""
    first = rf"neck\.fpn_convs\.([0-{stages - 1}])\.conv\.(.+)"
    rules = ((first, r"backbone.fpn.layer_blocks.\1.0.\2"),)
    if detector != "gfl":
        return rules
    return *rules, (rf"neck\.fpn_convs\.{stages}\.conv\.(.+)", r"backbone.fpn.extra_blocks.p6.\1")
