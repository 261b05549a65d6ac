"""What can be set about training a detector."""

from typing import Literal

from pydantic import Field

from tgn.core.settings import ComputeSettings, LoopSettings

DetectorName = Literal["faster-rcnn", "retinanet"]
BackboneName = Literal["resnet18", "resnet34", "resnet50", "resnet101", "vgg11", "vgg16"]


class DetectSettings(ComputeSettings, LoopSettings):
    """Settings of ``classify detect train``."""

    detector: DetectorName = Field("retinanet", description="faster-rcnn or retinanet")
    backbone: BackboneName = Field("resnet18", description="resnet18/34/50/101, vgg11/16")
    weights: str | None = Field(None, description="of the backbone: none, pretrained, or a file")
    size: int = Field(448, ge=64, description="long side at which images are seen, in pixels")
    steps: int = Field(2000, ge=1, description="optimisation steps")
    batch_size: int = Field(4, ge=1, description="images a step, over all processes")
    lr: float = Field(0.01, gt=0, description="highest learning rate (SGD, cosine)")
    weight_decay: float = Field(1e-4, ge=0, description="of all weights")
    clip: float = Field(10.0, gt=0, description="largest norm of a step's gradient")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="of the images, held out by seed")
    precision: Literal["float32"] = Field("float32", description="of detectors")
