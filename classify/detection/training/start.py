"""A trained detector to start from: ours, torchvision's COCO files, or one of mmdetection."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from classify.detection.checkpoints import is_detector, read_spec
from classify.detection.models.build import DetectorSpec
from classify.detection.training.foreign_names import (
    from_mmdetection,
    from_old_torchvision,
    is_of_mmdetection,
)
from tgn.models.foreign_weights import COUNTER
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.errors import UserError

CLASS_LAYERS = ("roi_heads.box_predictor.", "head.classification_head.cls_logits.", "head.score.")
OF_LEVELS = ("backbone.fpn.", "head.scales.")
LATERAL = "backbone.fpn.inner_blocks."  # one a stage
NEEDED = "backbone.body."  # without these it is another network


class Start(NamedTuple):
    """What a detector took over."""

    taken: int  # entries
    new: tuple[str, ...]  # layers that keep their random weights

    @property
    def in_words(self) -> str:
        """Return a sentence for people."""
        if not self.new:
            return f"starts from all {self.taken} entries of the detector"
        return f"starts from {self.taken} entries of the detector; new: {', '.join(self.new)}"


def start_from(net: nn.Module, spec: DetectorSpec, file: Path) -> Start:
    """Load a trained detector into one that is to be trained.

    Layers of the classes are taken from a detector of ours with the same classes only, those of
    levels from one whose pyramid begins at the same stride. Layers of another shape keep their
    random weights, and so do those that the file lacks.

    Args:
        net: built from the specification.
        spec: of the network.
        file: of ``classify detect train``; or a state dict with torchvision's or mmdetection's
            names.

    Raises:
        UserError: if the file is no detector, or has another backbone.
    """
    weights = load_weights(file)
    same_classes = is_detector(file) and read_spec(file).classes == spec.classes
    if is_of_mmdetection(weights):
        weights = from_mmdetection(weights, spec.detector)
    weights = from_old_torchvision(weights)
    own = {k: v for k, v in net.state_dict().items() if not k.endswith(COUNTER)}
    same_levels = _levels(own) == _levels(weights)
    fitting = {
        name: weights[name]
        for name, value in own.items()
        if name in weights
        and weights[name].shape == value.shape
        and (same_classes or not name.startswith(CLASS_LAYERS))
        and (same_levels or not name.startswith(OF_LEVELS))
    }
    _require_backbone(own, weights, fitting, spec, file)
    net.load_state_dict(net.state_dict() | fitting)
    new = dict.fromkeys(name.rpartition(".")[0] for name in own if name not in fitting)
    return Start(len(fitting), tuple(new))


def _levels(names: Iterable[str]) -> set[str]:
    """Return the numbers of the pyramid's layers that read a stage of the backbone."""
    return {name.removeprefix(LATERAL).split(".")[0] for name in names if name.startswith(LATERAL)}


def _require_backbone(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
    spec: DetectorSpec,
    file: Path,
) -> None:
    lacking = [name for name in own if name.startswith(NEEDED) and name not in fitting]
    if lacking:
        what = "of another shape" if lacking[0] in given else "missing"
        raise UserError(
            f"{file} does not fit a {spec.detector} with backbone={spec.backbone}: "
            f"{lacking[0]} is {what} ({len(lacking)} entries so); expected a detector with the "
            "same backbone, of classify detect train, torchvision or mmdetection"
        )
