"""What can be set about scoring and filtering; imports nothing heavy."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tgn.probe.settings import FewImagesSettings, NetworkSettings
from tgn.runtime.bounds import PositiveShare, Seed, Share, Side
from tgn.runtime.settings import DeviceSettings

FILTER_GRID = "filter.png"
KEPT = "kept"
Statistic = Literal["error", "margin", "right"]


class ScoreSettings(DeviceSettings):
    """Settings of ``tgn score``."""

    extractor: str = Field(
        "auto",
        description="the judge: auto (an ImageNet network that the generator was not trained "
        "against), imagenet/ARCH, tail, a classifier FILE, inception:FILE, clip/ARCH:FILE, or "
        "NAME:FILE of torchvision or timm",
    )
    lpips: str | None = Field(
        None,
        description="alex:FILE, vgg:FILE, squeeze:FILE; st-alex or st-vgg: ST-LPIPS; else not "
        "computed",
    )
    classifier: Path | None = Field(
        None,
        description="checkpoint, or folder of classify train --folds, that predicts the class; "
        "default: a ridge probe on the judge's features, without the images each was made of",
    )
    clip: str | None = Field(
        None,
        description="predicts the class, embeds for CMMD: arch:tag or arch:/file, else neither",
    )
    size: Side | None = Field(
        None, description="side at which both sets are read; default: the generated images'"
    )
    min_count_for_fid: int = Field(
        2048, ge=2, le=10_000_000, description="FID is reported only if both sets have this many"
    )
    seed: Seed = Field(0, description="of random subsets, pairs and resamples")
    keep_features: bool = Field(True, description="cache features in scores/features of the run")


class FilterSettings(DeviceSettings):
    """Settings of ``tgn filter``; 0 switches a test off."""

    min_probability: Share = Field(
        0.1, description="that the classifier must give an image's class"
    )
    min_clip_probability: Share = Field(0.1, description="the same of CLIP, if given")
    clip_percentile: float = Field(
        0.0,
        ge=0,
        lt=100,
        description="drop this % of each class, agreeing least with its prompts by CLIP",
    )
    copy_percentile: float = Field(
        1.0,
        ge=0,
        le=100,
        description="drop images as near to a real one as this % of real ones are",
    )
    duplicate_percentile: float = Field(
        1.0,
        ge=0,
        le=100,
        description="the same, as near to an earlier image of the class",
    )
    near: PositiveShare = Field(1.0, description="factor of the distances by these two percentages")
    quality_percentile: float = Field(
        5.0, ge=0, lt=100, description="drop this % of each class, furthest from its real images"
    )
    extractor: str = Field("auto", description="of features for distances; as of tgn score")
    classifier: Path | None = Field(None, description="as of tgn score")
    clip: str | None = Field(None, description="arch:tag or arch:/file, else not tested with CLIP")

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if self.clip_percentile and self.clip is None:
            raise ValueError(
                f"clip_percentile={self.clip_percentile:g} got no CLIP; it needs "
                "clip=arch:tag or arch:/file"
            )
        return self


class UseFilterSettings(FilterSettings, NetworkSettings, FewImagesSettings):
    """Settings of ``tgn filter --by use``; 0 switches a test off."""

    near: PositiveShare = Field(
        0.5, description="factor of the distances of copy and duplicate_percentile"
    )
    quality_percentile: float = Field(
        0.0, ge=0, lt=100, description="drop this % of each class, furthest from its real images"
    )
    prototype_percentile: float = Field(
        0.1,
        ge=0,
        lt=50,
        description="drop images nearer to the mean of their class than this % of real ones, and "
        "those further away than all but this %",
    )
    folds: int = Field(10, ge=2, le=1000, description="of the real images, to measure the gain")
    statistic: Statistic = Field(
        "error", description="of left-out real images, that must improve: error, margin or right"
    )
    seed: Seed = Field(0, description="of the folds")
