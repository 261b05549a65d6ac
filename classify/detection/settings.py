"""What can be set about training a detector; nothing here is of torch."""

from typing import Literal

from pydantic import Field, model_validator

from tgn.runtime.config import Settings
from tgn.runtime.settings import ComputeSettings, LoopSettings

DetectorName = Literal["faster-rcnn", "retinanet", "gfl", "rotated-retinanet"]
BackboneName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "vgg11", "vgg16"]
RotatedLoss = Literal["smooth-l1", "gwd", "kld"]
DistillName = Literal["none", "l2", "lsh", "lshl2", "kd", "ld", "ld+kd"]
ImitationRegion = Literal["none", "gibox", "fine-grained", "gt"]
MIMICKING: tuple[DistillName, ...] = ("l2", "lsh", "lshl2")
DENSE: tuple[DetectorName, ...] = ("gfl", "rotated-retinanet")


class MimicSettings(Settings):
    """Settings of ``--distill l2``, ``lsh`` and ``lshl2``."""

    weight: float = Field(7.0, ge=0, description="beta, of the mimicking")
    hashes: int = Field(4096, ge=1, description="N hyperplanes")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps until full weight")
    places: Literal["positives", "published"] = Field(
        "positives", description="of RetinaNet: where objects are, or nearly everywhere"
    )
    inherit: bool = Field(
        False,
        description="begin with the teacher's layers that read the features; better in few steps",
    )


class LocalizationSettings(Settings):
    """Settings of ``--distill kd``, ``ld`` and ``ld+kd``."""

    temperature: float | None = Field(
        None, gt=0, description="T of the box distributions: 10, of rotated boxes 5"
    )
    class_temperature: float | None = Field(
        None, gt=0, description="T of the class logits: 2, of rotated boxes 5"
    )
    weight: float | None = Field(
        None, ge=0, description="of LD on the anchors of objects: 4 (0.25 as published), rotated 10"
    )
    valuable_weight: float | None = Field(
        None, ge=0, description="of LD on anchors nearly as good: 4 (0.25 as published)"
    )
    class_weight: float | None = Field(None, ge=0, description="of KD: 10, of rotated objects 20")
    classes: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="KD as published, or for each class by itself"
    )
    normalise: Literal["positives", "published"] = Field(
        "positives", description="of gfl: sums over anchors by their number, or as published"
    )
    region: Literal["rotated", "published"] = Field(
        "rotated", description="overlap of rotated boxes: the true one, or as published"
    )
    angle: Literal["plain", "periodic"] = Field(
        "plain", description="periodic: angles half a turn apart are one"
    )


class ImitationSettings(Settings):
    """Settings of imitating a dense teacher's maps."""

    region: ImitationRegion = Field("none", description="none, gibox, fine-grained, gt")
    weight: float = Field(2.0, ge=0, description="of the mean squared difference")


class DetectSettings(ComputeSettings, LoopSettings):
    """Settings of ``classify detect train``."""

    detector: DetectorName = Field(
        "retinanet", description="faster-rcnn, retinanet, gfl, rotated-retinanet"
    )
    backbone: BackboneName = Field("resnet18", description="resnet18/34/50/101, vgg11/16")
    weights: str | None = Field(None, description="of the backbone: none, pretrained, or a file")
    frozen_stages: int = Field(
        0,
        ge=0,
        le=4,
        description="of the backbone, that keep the weights they were given",
    )
    width: int = Field(256, ge=32, multiple_of=32, description="channels of pyramid and head")
    box_loss: RotatedLoss = Field("gwd", description="of rotated boxes: smooth-l1, gwd, kld")
    size: int = Field(448, ge=64, description="long side at which images are seen, in pixels")
    patch: int | None = Field(None, ge=64, description="larger images are cut to this side")
    overlap: float = Field(0.2, ge=0, lt=1, description="of neighbouring patches, a share of it")
    steps: int = Field(2000, ge=1, description="optimisation steps")
    batch_size: int = Field(4, ge=1, description="images a step, over all processes")
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="sgd, or adamw: further in few steps, at an lr of 0.0002 to 0.001"
    )
    lr: float = Field(0.01, gt=0, description="highest learning rate (cosine)")
    weight_decay: float = Field(1e-4, ge=0, description="of all weights")
    clip: float = Field(10.0, gt=0, description="largest norm of a step's gradient")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="of the images, held out by seed")
    split_seed: int = Field(0, description="of that part; the same for every seed of training")
    distill: DistillName = Field("none", description="none, l2, lsh, lshl2, kd, ld, ld+kd")
    mimic: MimicSettings = Field(MimicSettings(), description="of l2, lsh, lshl2")
    localization: LocalizationSettings = Field(
        LocalizationSettings(), description="of kd, ld, ld+kd"
    )
    imitation: ImitationSettings = Field(ImitationSettings(), description="beside those")

    @property
    def is_taught(self) -> bool:
        """Whether a teacher is needed."""
        return self.distill != "none" or self.imitation.region != "none"

    @property
    def compares_maps(self) -> bool:
        """Whether student and teacher must have maps of equal width."""
        mimics_tower = self.detector == "retinanet" and self.distill in MIMICKING
        return mimics_tower or self.imitation.region != "none"

    @model_validator(mode="after")
    def _fits_together(self) -> "DetectSettings":
        if self.frozen_stages and self.weights is None:
            raise ValueError("frozen_stages wants weights: without them it keeps random numbers")
        is_dense = self.detector in DENSE
        if self.distill != "none" and is_dense == (self.distill in MIMICKING):
            fitting = "kd, ld, ld+kd" if is_dense else ", ".join(MIMICKING)
            raise ValueError(f"distill={self.distill} is not for {self.detector}; take {fitting}")
        if self.imitation.region != "none" and not is_dense:
            raise ValueError(f"imitation is for {' and '.join(DENSE)}, not for {self.detector}")
        return self
