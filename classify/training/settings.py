"""Settings of training a classifier; imports nothing heavy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from classify.losses.settings import LossName, LossSettings, Reweighting
from classify.methods.settings import (
    CrossModalitySettings,
    FeatureMseSettings,
    LogitKdSettings,
    LshSettings,
    SecondStageName,
    SecondStageSettings,
    T2ftsSettings,
)
from classify.training.mixing_settings import CmoSettings, Mixing
from classify.training.optimisation_settings import OptimisationSettings
from classify.training.uses.names import BESIDE, GeneratedUseName
from tgn.models.settings import ArchName
from tgn.runtime.bounds import (
    Factor,
    PositiveShare,
    Rounds,
    Share,
    ShareBelowOne,
    Side,
    Steps,
    Symmetries,
)
from tgn.runtime.errors import DataError
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.text_files import read_yaml

MethodName = Literal["plain", "logit-kd", "feature-mse", "kmdn", "t2fts", "cross-modality", "lsh"]
Sampling = Literal["random", "square-root", "class-balanced", "progressive"]
AugmentationName = Literal["overhead", "randaugment", "trivial", "none"]

LEVEL: tuple[Sampling, ...] = ("class-balanced", "progressive")  # where nothing is filled up
SMOOTHED = ("ce", "balanced-softmax", "logit-adjustment")


class TrainSettings(OptimisationSettings, ComputeSettings):
    """Settings of ``classify train`` and ``classify compare``."""

    renamed: ClassVar[Mapping[str, str]] = {
        **OptimisationSettings.renamed,
        **ComputeSettings.renamed,
        "finish": "second_stage",
        "second": "second_stage_options",
        "losses": "loss_options",
        "looks": "num_validations",
        "ratio": "generated_ratio",
    }

    arch: ArchName = Field(
        "tf_efficientnet_lite0", description="any timm network with stages, or 'tiny'"
    )
    size: Side = Field(128, description="side in pixels at which images are shown")
    save_every: Steps = Field(1000, description="steps between checkpoints")
    balance: Share | None = Field(
        None,
        description="0: images count alike, 1: classes do; none: by sampling, loss",
    )
    sampling: Sampling = Field(
        "random", description="random, square-root, class-balanced, progressive"
    )
    loss: LossName = Field("ce", description="ce, focal, ldam, balanced-softmax, logit-adjustment")
    label_smoothing: ShareBelowOne = Field(
        0.0, description="ce, balanced-softmax, logit-adjustment: spread evenly"
    )
    reweighting: Reweighting = Field(
        "none", description="of classes by their effective number of images"
    )
    augmentation: AugmentationName = Field(
        "overhead", description="overhead, randaugment, trivial (TrivialAugment), none"
    )
    smallest_crop: PositiveShare | None = Field(
        None, description="random rotated crops of at least that share of the side"
    )
    mixed_sizes: tuple[Side, ...] = Field(
        (), description="sides of the images, drawn anew for each step: e.g. 96,128,160"
    )
    test_symmetries: Symmetries = Field(
        1, description="views of an image whose mean logits are the classifier's"
    )
    mixing: Mixing = Field("none", description="none, mixup, cutmix, remix, cmo: pairs of images")
    mixing_alpha: Factor = Field(1.0, description="of the Beta distribution of the ratio")
    cmo: CmoSettings = Field(CmoSettings(), description="of mixing=cmo")
    second_stage: SecondStageName = Field(
        "none", description="on real images: none, ridge, crt, lws, maxnorm, tau-norm, ncm"
    )
    generated_use: GeneratedUseName = Field(
        BESIDE,
        description="beside real images, instead of some, first, blended, background, pasted, "
        "curriculum, soft, features",
    )
    generated_share: PositiveShare = Field(
        0.5,
        description="class-balanced, progressive: at most, of the places of a class that has some",
    )
    generated_until: PositiveShare = Field(
        0.6, description="share of the steps before those on real images only"
    )
    generated_weight: Factor = Field(
        1.0, description="of a generated image in the loss; features: of their distance"
    )
    generated_ratio: Factor | None = Field(
        None, description="generated images used: 1 fills a class up to the largest one"
    )
    num_validations: Rounds = Field(8, description="validations during the training")
    method: MethodName = Field("plain", description="plain, or a method of distillation")
    loss_options: LossSettings = Field(LossSettings(), description="hyperparameters of the losses")
    second_stage_options: SecondStageSettings = Field(
        SecondStageSettings(), description="of the second stage"
    )
    logit_kd: LogitKdSettings = Field(LogitKdSettings(), description="of that method")
    feature_mse: FeatureMseSettings = Field(FeatureMseSettings(), description="and of kmdn")
    t2fts: T2ftsSettings = Field(T2ftsSettings(), description="of that method")
    cross_modality: CrossModalitySettings = Field(
        CrossModalitySettings(), description="of that method"
    )
    lsh: LshSettings = Field(LshSettings(), description="of that method")

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones had one use of generated images."""
        found = super().with_new_names(values)
        return {"generated_use": BESIDE, **found} if "generated_until" in found else found

    @field_validator("mixed_sizes", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        """Take ``96,128`` and a single number for a list."""
        if isinstance(value, int):
            return (value,)
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _images_fit_together(self) -> Self:
        if self.smallest_crop is not None and self.augmentation == "none":
            raise ValueError(
                "smallest_crop got augmentation=none; take another, or smallest_crop=null"
            )
        bands = {"bands": self.bands}
        if self.method == "cross-modality":
            bands["cross_modality.bands"] = self.cross_modality.bands
        if self.augmentation in ("randaugment", "trivial"):
            for name, number in bands.items():
                if number not in (1, 3):
                    raise ValueError(
                        f"augmentation={self.augmentation} needs 1 or 3 bands, not {name}={number}"
                    )
        if self.mixed_sizes and self.method == "cross-modality":
            raise ValueError(
                "mixed_sizes got method cross-modality, whose sensors have a size each"
            )
        return self

    @model_validator(mode="after")
    def _last_layer_fits(self) -> Self:
        """Refuse what brings a last layer of its own beside what needs another one."""
        own = {
            "tuning=adapters": (self.tuning == "adapters", "a cosine classifier"),
            "loss=ldam": (self.loss == "ldam", "a cosine classifier of another scale"),
            "start=probe": (self.start == "probe", "one of normalised features of several stages"),
        }
        linear = {
            f"second_stage={self.second_stage}": self.second_stage not in ("none", "ridge"),
            "method=lsh": self.method == "lsh",
        }
        brought = [name for name, (is_set, _) in own.items() if is_set]
        wanted = [*brought[1:], *(name for name, is_set in linear.items() if is_set)]
        if brought and wanted:
            first, other = brought[0], wanted[0]
            raise ValueError(
                f"{first} got {other} too; its last layer is {own[first][1]}, and {other} needs "
                "another: leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _labels_fit(self) -> Self:
        second = self.second_stage_options.label_smoothing
        if second and self.second_stage not in ("crt", "lws"):
            raise ValueError(
                f"second_stage_options.label_smoothing got second_stage={self.second_stage}; it "
                "needs crt or lws"
            )
        if (self.label_smoothing or second) and self.loss not in SMOOTHED:
            raise ValueError(
                f"label_smoothing got loss={self.loss}; it goes with {', '.join(SMOOTHED)}"
            )
        if self.balance is not None and (other := self._other_balance()):
            raise ValueError(
                f"balance got {other} too, which balances in its own way; leave one of them out"
            )
        return self

    def _other_balance(self) -> str | None:
        """Return a setting that says how classes are balanced, if one differs from its default."""
        for name in ("loss", "sampling", "reweighting", "second_stage"):
            if getattr(self, name) != type(self).model_fields[name].default:
                return f"{name}={getattr(self, name)}"
        tau = self.loss_options.logit_adjustment_tau
        if tau != LossSettings().logit_adjustment_tau:
            return f"loss_options.logit_adjustment_tau={tau:g}"
        return "method=t2fts" if self.method == "t2fts" else None


def recorded_settings(file: Path) -> TrainSettings | None:
    """Read the ``settings.yaml`` of a training, also one of an older version.

    Returns:
        The settings under today's names; None if there is no such file or it holds others.
    """
    if not file.is_file():
        return None
    try:
        return TrainSettings.model_validate(TrainSettings.with_new_names(read_yaml(file)))
    except (DataError, ValidationError, AttributeError):
        return None
