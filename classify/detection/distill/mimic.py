"""Feature mimicking: the student mimics the features that the teacher's classifier reads.

Source: Wang et al. 2021, Distilling Knowledge by Mimicking Features (TPAMI, arXiv 2011.01424),
section 4.4 and the released code of its detectors.

The defaults are those of the released code. Beyond it: the weight may rise over a warm-up
(``warmup``), and ``lsh`` alone may scale features to the teacher's norm (``lsh_length=teacher``),
since nothing else bounds them (its authors report NaN for RetinaNet). The student may inherit
the teacher's layers that read the features, as Chen et al. 2022 keep its classifier (CVPR, arXiv
2203.14001), so that mimicking is classifying from the first step on.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.ops import box_iou

from classify.detection.distill.base import (
    ActivationRecorder,
    DetectionTask,
    DistillationPair,
    Targets,
)
from classify.detection.settings.detector import DistillName, MimicSettings
from classify.losses.hashing import (
    Hyperplanes,
    l2_per_image,
    linear_warmup,
    lsh_per_image,
    with_length_of,
)
from tgn.runtime.seeds import generator

MIN_IMAGES = 1e-6  # divisor where no image of any process has a location: 0 / MIN_IMAGES = 0
BETWEEN_THRESHOLDS = -2  # torchvision's matcher: neither positive nor background


def build_mimicking(
    pair: DistillationPair, kind: DistillName, settings: MimicSettings
) -> "FeatureMimicking":
    """Return the task for the pair's kind of detector; see :class:`FeatureMimicking`."""
    task = BoxHeadMimicking if isinstance(pair.student, FasterRCNN) else TowerMimicking
    return task(pair, kind, settings)


class FeatureMimicking(DetectionTask):
    """Losses of annotations, plus beta (L2 and/or LSH) of corresponding features [n, D].

    Args:
        pair: two detectors of one kind.
        kind: l2, lsh, lshl2.
        settings: of the mimicking.
    """

    def __init__(self, pair: DistillationPair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair.student)
        self.kind, self.settings = kind, settings
        self._teacher = (pair.teacher,)  # in a tuple, or it would be a module of this one
        self.precision, self.average = pair.precision, pair.average
        weight = self.classifier.weight.detach().float()
        rng = generator(pair.seed, "lsh hyperplanes")
        hashes = Hyperplanes(weight[0].numel(), settings.num_hashes, float(weight.std()), rng)
        self.hashes = hashes.to(weight.device)
        if settings.inherit_head:
            own, taught = (self.reading_layers(net) for net in (pair.student, pair.teacher))
            own.load_state_dict(taught.state_dict())
        self.prepared = ActivationRecorder(pair.student.transform)
        self.recorders = [self.prepared]

    @property
    def teacher(self) -> Any:
        """Return the teacher."""
        return self._teacher[0]

    @property
    @abstractmethod
    def classifier(self) -> Any:
        """Return the teacher's layer of the class logits."""

    @abstractmethod
    def reading_layers(self, detector: Any) -> Any:
        """Return the layers of a detector that read the mimicked features."""

    @abstractmethod
    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the student's and the teacher's features [n, D] and their shares [n], sum <= 1.

        Args:
            maps: of the teacher's pyramid.
        """

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the student's own losses and the mimicking."""
        for recorder in self.recorders:
            recorder.clear()
        losses = dict(self.student(images, targets))
        with torch.no_grad():
            maps = self.teacher.backbone(self.prepared.outputs[0][0].tensors)
        own, taught, share = self.features(maps)
        weight = linear_warmup(self.settings.weight, progress, self.settings.warmup)
        if self.kind != "lsh":
            losses["l2"] = weight * (share * l2_per_image(own, taught)).sum()
        if self.kind != "l2":
            losses["lsh"] = weight * (share * self._lsh(own, taught)).sum()
        return losses

    def _lsh(self, own: Tensor, taught: Tensor) -> Tensor:
        if self.kind == "lsh" and self.settings.lsh_length == "teacher":
            own = with_length_of(own, taught)
        return lsh_per_image(self.hashes(own), self.hashes(taught))


class BoxHeadMimicking(FeatureMimicking):
    """Faster R-CNN: the output of both box heads for the student's sampled proposals."""

    def __init__(self, pair: DistillationPair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair, kind, settings)
        self.pooling = ActivationRecorder(pair.student.roi_heads.box_roi_pool)
        self.box_head = ActivationRecorder(pair.student.roi_heads.box_head)
        self.recorders += [self.pooling, self.box_head]

    @property
    def classifier(self) -> Any:
        """Return the teacher's layer of the class logits."""
        return self.reading_layers(self.teacher).cls_score

    def reading_layers(self, detector: Any) -> Any:
        """Return the layers of classes and boxes."""
        return detector.roi_heads.box_predictor

    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pool the student's proposals from the teacher's maps."""
        _, proposals, sizes = self.pooling.inputs[0]
        heads, own = self.teacher.roi_heads, self.box_head.outputs[0]
        with torch.no_grad():
            taught = heads.box_head(heads.box_roi_pool(maps, proposals, sizes))
        return own, taught, own.new_full((len(own),), 1 / len(own))


class TowerMimicking(FeatureMimicking):
    """RetinaNet: the input of the classification layer, 3 x 3 locations of the tower's last map.

    The mimicked locations of an image have equal shares, and so have the images with any.
    """

    def __init__(self, pair: DistillationPair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair, kind, settings)
        self.towers = ActivationRecorder(self.reading_layers(pair.student))
        self.anchors = ActivationRecorder(pair.student.anchor_generator)
        self.recorders += [self.towers, self.anchors]

    @property
    def classifier(self) -> Any:
        """Return the teacher's convolution of the class logits."""
        return self.reading_layers(self.teacher)

    def reading_layers(self, detector: Any) -> Any:
        """Return the convolution of the classes; that of boxes reads another tower."""
        return detector.head.classification_head.cls_logits

    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Read both towers at the locations that the settings choose."""
        towers = [inputs[0] for inputs in self.towers.inputs]
        with torch.no_grad(), self.precision():
            taught = [self.teacher.head.classification_head.conv(x) for x in maps.values()]
        chosen = torch.stack([self._locations(k) for k in range(len(towers[0]))])  # [B, all]
        counts = chosen.sum(dim=1, keepdim=True)
        images = self.average((counts > 0).sum().float())  # of a process, with any location
        share = chosen / counts.clamp(min=1) / images.clamp(min=MIN_IMAGES)
        sizes = [tower.shape[2] * tower.shape[3] for tower in towers]
        parts = chosen.split(sizes, dim=1), share.split(sizes, dim=1)
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        for own, theirs, mask, shares in zip(towers, taught, *parts, strict=True):
            mask = mask.reshape(-1, *own.shape[2:])
            rows.append(
                (patches_3x3(own, mask), patches_3x3(theirs, mask), shares[mask.flatten(1)])
            )
        own, theirs, shares = (torch.cat(column) for column in zip(*rows, strict=True))
        return own, theirs, shares

    def _locations(self, index: int) -> Tensor:
        """Return whether each location of an image is mimicked, over all levels."""
        anchors, target = self.anchors.outputs[0][index], self.prepared.outputs[0][1][index]
        per_location = self.teacher.head.classification_head.num_anchors
        if len(target["boxes"]) == 0:
            count = len(anchors) // per_location
            return torch.zeros(count, dtype=torch.bool, device=anchors.device)
        matched = self.student.proposal_matcher(box_iou(target["boxes"], anchors))
        if self.settings.locations == "published":  # nearly all, the background too
            return (matched.view(-1, per_location) != BETWEEN_THRESHOLDS).any(dim=1)
        return (matched.view(-1, per_location) >= 0).any(dim=1)


def patches_3x3(maps: Tensor, mask: Tensor) -> Tensor:
    """Return the 3 x 3 patches round chosen locations, zero-padded, as a convolution reads them.

    Args:
        maps: [B, D, h, w].
        mask: [B, h, w], bool.

    Returns:
        [n, 9 D] in float32, in the order of a convolution's weight.
    """
    image, row, column = mask.nonzero(as_tuple=True)
    padded = F.pad(maps.float(), (1, 1, 1, 1)).permute(0, 2, 3, 1)
    near = [padded[image, row + down, column + right] for down in range(3) for right in range(3)]
    return torch.stack(near, dim=2).flatten(1)
