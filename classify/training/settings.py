"""What can be set about training a classifier."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from classify.losses.long_tail import LossName
from classify.methods.cross_modality import CrossModalitySettings
from classify.methods.feature_mse import FeatureMseSettings
from classify.methods.logit_kd import LogitKdSettings
from classify.methods.lsh import LshSettings
from classify.methods.second_stage import FinishName, FinishSettings
from classify.methods.t2fts import T2ftsSettings
from classify.training.criterion import LossSettings
from classify.training.mixing import Mixing
from classify.training.sampling import Sampling
from tgn.models.settings import BackboneSettings
from tgn.runtime.settings import ComputeSettings, LoopSettings

MethodName = Literal["plain", "logit-kd", "feature-mse", "kmdn", "t2fts", "cross-modality", "lsh"]


class TrainSettings(BackboneSettings, ComputeSettings, LoopSettings):
    """Settings of ``classify train`` and ``classify compare``."""

    steps: int = Field(600, ge=1, description="optimisation steps")
    batch_size: int = Field(64, ge=2, description="images a step, over all processes")
    save_every: int = Field(1000, ge=1, description="steps between checkpoints")
    sampling: Sampling = Field(
        "random", description="random, square-root, class-balanced, progressive"
    )
    loss: LossName = Field("ce", description="ce, focal, ldam, balanced-softmax, logit-adjustment")
    reweighting: Literal["none", "effective-number", "deferred"] = Field(
        "none", description="of classes by their effective number of images"
    )
    mixing: Mixing = Field("none", description="of pairs of images: none, mixup, cutmix, remix")
    mixing_alpha: float = Field(1.0, gt=0, description="of the Beta distribution of the ratio")
    finish: FinishName = Field("none", description="second stage: crt, lws, tau-norm, ncm")
    generated_share: float = Field(
        0.5, ge=0, le=1, description="class-balanced: of a class's places, if it has generated ones"
    )
    generated_until: float = Field(
        0.6, ge=0, le=1, description="class-balanced: share of the steps before real images only"
    )
    generated_weight: float = Field(1.0, gt=0, description="of a generated image in the loss")
    ratio: float | None = Field(
        None, gt=0, description="generated images used: 1 fills a class up to the largest one"
    )
    lr: float = Field(0.05, gt=0, description="highest learning rate (SGD, cosine)")
    weight_decay: float = Field(5e-4, ge=0, description="of all weights")
    looks: int = Field(8, ge=1, description="how often the validation part is looked at")
    method: MethodName = Field("plain", description="plain, or a way of distillation")
    losses: LossSettings = Field(LossSettings(), description="numbers of the losses")
    second: FinishSettings = Field(FinishSettings(), description="of the second stage")
    logit_kd: LogitKdSettings = Field(LogitKdSettings(), description="of that method")
    feature_mse: FeatureMseSettings = Field(FeatureMseSettings(), description="and of kmdn")
    t2fts: T2ftsSettings = Field(T2ftsSettings(), description="of that method")
    cross_modality: CrossModalitySettings = Field(
        CrossModalitySettings(), description="of that method"
    )
    lsh: LshSettings = Field(LshSettings(), description="of that method")

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainSettings":
        if self.loss == "ldam" and self.finish != "none":
            raise ValueError("loss=ldam has a cosine classifier; second stages need a linear one")
        if self.loss == "ldam" and self.method == "lsh":
            raise ValueError("loss=ldam has a cosine classifier; method lsh needs a linear one")
        return self

    def with_changes(self, changes: Mapping[str, Any]) -> "TrainSettings":
        """Return the settings with some replaced, checked again."""
        return TrainSettings.model_validate({**self.model_dump(), **changes})


def recipe_name(settings: TrainSettings, augmented: bool) -> str:
    """Name what tells one training from another, e.g. ``balanced+generated``."""
    parts = [
        settings.method if settings.method != "plain" else "",
        {"random": "", "class-balanced": "balanced"}.get(settings.sampling, settings.sampling),
        settings.loss if settings.loss != "ce" else "",
        settings.reweighting if settings.reweighting != "none" else "",
        settings.mixing if settings.mixing != "none" else "",
        settings.finish if settings.finish != "none" else "",
    ]
    named = [part for part in parts if part] or ["ce"]
    return "+".join(named + ["generated"] * augmented)
