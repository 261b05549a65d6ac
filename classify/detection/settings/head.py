"""Settings of a detector's kind, pyramid and head; imports no torch."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from tgn.runtime.config import Settings

DetectorName = Literal["faster-rcnn", "retinanet", "gfl", "rotated-retinanet"]
Norm = Literal["group", "none"]
HeadInit = Literal["auto", "normal", "kaiming"]
RotatedLoss = Literal["smooth-l1", "gwd", "gwd-bounded", "kld", "kld-half"]
FinestStride = Literal[4, 8]
FpnChannels = Annotated[int, Field(ge=32, multiple_of=32, le=2048)]
NmsCandidates = Annotated[int, Field(ge=1, le=100_000)]
ProposalCount = Annotated[int, Field(ge=4, le=10_000)]
DENSE: tuple[DetectorName, ...] = ("gfl", "rotated-retinanet")
NMS_CANDIDATES: Mapping[DetectorName, int] = {  # as published
    "faster-rcnn": 2000,
    "retinanet": 1000,
    "gfl": 1000,
    "rotated-retinanet": 2000,
}


class HeadSettings(Settings):
    """Which detector, its feature pyramid, and what its head learns."""

    detector: DetectorName = Field(
        "faster-rcnn", description="faster-rcnn, retinanet, gfl, rotated-retinanet"
    )
    fpn_channels: FpnChannels = Field(
        256, description="channels of the feature pyramid and the head"
    )
    finest_stride: FinestStride = Field(
        8,
        description="of one-stage detectors, stride of the pyramid's first map in pixels: 8 as "
        "published; 4 for objects of less than 30 pixels, at twice the time",
    )
    fpn_norm: Norm = Field(
        "none",
        description="after each convolution of the feature pyramid: none, as published; group, so "
        "that all levels weigh alike",
    )
    head_norm: Norm = Field(
        "group",
        description="of one-stage heads: group, or none, as published for RetinaNet and needed to "
        "start from one",
    )
    head_init: HeadInit = Field(
        "auto",
        description="convolutions of one-stage heads begin: normal, with a standard deviation of "
        "0.01, as published; kaiming, by their inputs; auto: kaiming with adamw, normal with sgd",
    )
    level_scales: bool = Field(
        True, description="of gfl: each level's box logits have a learned factor, as published"
    )
    box_loss: RotatedLoss = Field(
        "gwd", description="of rotated boxes: smooth-l1, gwd, gwd-bounded, kld, kld-half"
    )
    nms_candidates: NmsCandidates | None = Field(
        None,
        description="best boxes of a level before suppression; default 1000, of rotated boxes and "
        "of faster-rcnn's proposals (twice as many in training) 2000",
    )
    proposals_per_image: ProposalCount = Field(
        512,
        description="of faster-rcnn: proposals of an image that its head learns from",
    )

    @property
    def is_rotated(self) -> bool:
        """Return whether the detector finds rotated boxes."""
        return self.detector == "rotated-retinanet"

    @property
    def is_one_stage(self) -> bool:
        """Return whether boxes and classes are read from the pyramid itself."""
        return self.detector != "faster-rcnn"

    def head_uses(self) -> Iterator[tuple[str, bool, str]]:
        """Yield settings, whether anything reads them, and what would."""
        for name in ("finest_stride", "head_norm", "head_init"):
            yield name, self.is_one_stage, "a one-stage detector"
        yield "level_scales", self.detector == "gfl", "detector=gfl"
        yield "proposals_per_image", not self.is_one_stage, "detector=faster-rcnn"
        yield "box_loss", self.is_rotated, "detector=rotated-retinanet"
