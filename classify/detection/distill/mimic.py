"""The student's detector mimics the features that the teacher's classifies by.

Source: Wang et al. 2021, Distilling Knowledge by Mimicking Features (TPAMI, arXiv 2011.01424),
section 4.4 and the released code of its detectors.

Differs from the released code: the weight rises over a warm-up, and where only hashes are asked for
features are scaled to the teacher's length, since nothing else would bound them (it gave NaN). The
student may begin with the teacher's layers that read the features, as Chen et al. 2022 keep its
classifier (CVPR, arXiv 2203.14001): they understand what is mimicked from the first step on.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.ops import box_iou

from classify.detection.distill.base import Pair, Targets, Teaching, Witness, rising
from classify.detection.settings import DistillName, MimicSettings
from classify.losses.hashing import Hashes, l2_each, lsh_each
from tgn.runtime.seeds import generator

FEWEST = 1e-6  # images of a process: none makes a sum of nothing
NEITHER = -2  # what torchvision's matcher says of anchors between its thresholds


def mimicking(pair: Pair, kind: DistillName, settings: MimicSettings) -> "Mimicking":
    """The way for this kind of detector."""
    way = BoxMimicking if isinstance(pair.student, FasterRCNN) else TowerMimicking
    return way(pair, kind, settings)


class Mimicking(Teaching):
    """Labels + beta (L2 and/or LSH) of features [n, D] that belong together.

    Args:
        pair: two detectors of one kind.
        kind: l2, lsh, lshl2.
        settings: of the mimicking.
    """

    def __init__(self, pair: Pair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair.student)
        self.kind, self.settings, self._teacher = kind, settings, (pair.teacher,)
        self.precision, self.average = pair.precision, pair.average
        weight = self.classifier.weight.detach().float()
        draw = generator(pair.seed, "lsh hyperplanes")
        hashes = Hashes(weight[0].numel(), settings.hashes, float(weight.std()), draw)
        self.hashes = hashes.to(weight.device)
        if settings.inherit:
            own, taught = (self.readers(detector) for detector in (pair.student, pair.teacher))
            own.load_state_dict(taught.state_dict())
        self.prepared = Witness(pair.student.transform)
        self.witnesses = [self.prepared]

    @property
    def teacher(self) -> Any:
        """The detector that is asked."""
        return self._teacher[0]

    @property
    @abstractmethod
    def classifier(self) -> Any:
        """The teacher's layer of the classes."""

    @abstractmethod
    def readers(self, detector: Any) -> Any:
        """Return the layers of a detector that read the features."""

    @abstractmethod
    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the student's and the teacher's features [n, D] and their shares [n], sum <= 1.

        Args:
            maps: of the teacher's pyramid.
        """

    def forward(self, images: list[Tensor], targets: Targets, progress: float) -> dict[str, Tensor]:
        """Return the student's own losses and the mimicking."""
        for witness in self.witnesses:
            witness.clear()
        losses = dict(self.student(images, targets))
        with torch.no_grad():
            maps = self.teacher.backbone(self.prepared.outputs[0][0].tensors)
        own, taught, share = self.features(maps)
        weight = rising(self.settings.weight, progress, self.settings.warm_up)
        if self.kind != "lsh":
            losses["l2"] = weight * (share * l2_each(own, taught)).sum()
        if self.kind != "l2":
            losses["lsh"] = weight * (share * self._lsh(own, taught)).sum()
        return losses

    def _lsh(self, own: Tensor, taught: Tensor) -> Tensor:
        if self.kind == "lsh":
            own = F.normalize(own.float()) * taught.float().norm(dim=1, keepdim=True)
        return lsh_each(self.hashes(own), self.hashes(taught))


class BoxMimicking(Mimicking):
    """Faster R-CNN: what both box heads say of the student's sampled proposals."""

    def __init__(self, pair: Pair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair, kind, settings)
        self.pooled = Witness(pair.student.roi_heads.box_roi_pool)
        self.said = Witness(pair.student.roi_heads.box_head)
        self.witnesses += [self.pooled, self.said]

    @property
    def classifier(self) -> Any:
        """The layer that reads the features for the classes."""
        return self.readers(self.teacher).cls_score

    def readers(self, detector: Any) -> Any:
        """Return the layers of classes and boxes."""
        return detector.roi_heads.box_predictor

    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pool the student's proposals from the teacher's maps."""
        _, proposals, sizes = self.pooled.inputs[0]
        heads, own = self.teacher.roi_heads, self.said.outputs[0]
        with torch.no_grad():
            taught = heads.box_head(heads.box_roi_pool(maps, proposals, sizes))
        return own, taught, own.new_full((len(own),), 1 / len(own))


class TowerMimicking(Mimicking):
    """RetinaNet: what the classifying convolution reads, 3 x 3 places of the tower's last map.

    The mimicked places of an image share it evenly, and so do the images that have any.
    """

    def __init__(self, pair: Pair, kind: DistillName, settings: MimicSettings) -> None:
        super().__init__(pair, kind, settings)
        self.towers = Witness(self.readers(pair.student))
        self.anchors = Witness(pair.student.anchor_generator)
        self.witnesses += [self.towers, self.anchors]

    @property
    def classifier(self) -> Any:
        """The convolution of the classes."""
        return self.readers(self.teacher)

    def readers(self, detector: Any) -> Any:
        """Return the convolution of the classes; that of boxes reads another tower."""
        return detector.head.classification_head.cls_logits

    def features(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Read both towers at the places that the settings name."""
        towers = [inputs[0] for inputs in self.towers.inputs]
        with torch.no_grad(), self.precision():
            taught = [self.teacher.head.classification_head.conv(x) for x in maps.values()]
        chosen = torch.stack([self._places(k) for k in range(len(towers[0]))])  # [B, all places]
        each = chosen.sum(dim=1, keepdim=True)
        images = self.average((each > 0).sum().float())  # of a process, with any
        share = chosen / each.clamp(min=1) / images.clamp(min=FEWEST)
        sizes = [tower.shape[2] * tower.shape[3] for tower in towers]
        parts = chosen.split(sizes, dim=1), share.split(sizes, dim=1)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for own, theirs, here, shares in zip(towers, taught, *parts, strict=True):
            here = here.reshape(-1, *own.shape[2:])
            found.append(
                (round_about(own, here), round_about(theirs, here), shares[here.flatten(1)])
            )
        own, theirs, shares = (torch.cat(column) for column in zip(*found, strict=True))
        return own, theirs, shares

    def _places(self, number: int) -> Tensor:
        """Whether each place of an image is mimicked, all levels one after the other."""
        anchors, target = self.anchors.outputs[0][number], self.prepared.outputs[0][1][number]
        per_place = self.teacher.head.classification_head.num_anchors
        if len(target["boxes"]) == 0:
            return torch.zeros(len(anchors) // per_place, dtype=torch.bool, device=anchors.device)
        object_of = self.student.proposal_matcher(box_iou(target["boxes"], anchors))
        if self.settings.places == "published":  # all places but a few: the background too
            return (object_of.view(-1, per_place) != NEITHER).any(dim=1)
        return (object_of.view(-1, per_place) >= 0).any(dim=1)


def round_about(maps: Tensor, here: Tensor) -> Tensor:
    """The 3 x 3 places round chosen ones, zeros beyond the border, as a convolution reads them.

    Args:
        maps: [B, D, h, w].
        here: [B, h, w], bool.

    Returns:
        [n, 9 D] in float32, in the order of a convolution's weight.
    """
    image, row, column = here.nonzero(as_tuple=True)
    padded = F.pad(maps.float(), (1, 1, 1, 1)).permute(0, 2, 3, 1)
    near = [padded[image, row + down, column + right] for down in range(3) for right in range(3)]
    return torch.stack(near, dim=2).flatten(1)
