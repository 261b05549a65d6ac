"""Settings of every method of distillation and of the second stage; imports nothing heavy."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from classify.losses.settings import HyperplaneBias, MimicLoss
from tgn.models.settings import FeatureDistance
from tgn.runtime.bounds import (
    Bands,
    Factor,
    InnerShare,
    PositiveShare,
    Share,
    ShareBelowOne,
    Side,
    Temperature,
    Weight,
)
from tgn.runtime.config import Settings

SecondStageName = Literal["none", "ridge", "crt", "lws", "maxnorm", "tau-norm", "ncm"]
CalibrationForm = Literal["released", "inside-log"]
BEFORE_THE_CHOICE: Mapping[str, Any] = {"feature_distance": "mse"}  # of old records


class LogitKdSettings(Settings):
    """Settings of ``--method logit-kd``."""

    weight: Share = Field(0.5, description="of the teacher; labels have the rest")
    temperature: Temperature = Field(4.0, description="T of the softened classes")


class FeatureMseSettings(Settings):
    """Settings of ``--method feature-mse`` and ``--method kmdn``."""

    weight: Weight = Field(1.0, description="of the distance of the features")
    feature_distance: FeatureDistance = Field(
        "normalised", description="normalised: of maps of unit root mean square; mse: as published"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones meant ``mse``."""
        return {**BEFORE_THE_CHOICE, **super().with_new_names(values)}


class T2ftsSettings(Settings):
    """Settings of ``--method t2fts``."""

    renamed: ClassVar[Mapping[str, str]] = {
        "head": "head_fraction",
        "middle": "middle_fraction",
        "alpha": "calibration_alpha",
        "form": "calibration_form",
        "memory": "ema_decay",
    }

    head_fraction: InnerShare = Field(
        0.25, description="of the classes, taught by the head teacher"
    )
    middle_fraction: InnerShare = Field(
        0.25, description="of the classes, taught by the middle teacher"
    )
    head_teacher: str | None = Field(
        None, description="a classifier, by name or file; none: one is trained"
    )
    middle_teacher: str | None = Field(None, description="likewise")
    tail_teacher: str | None = Field(None, description="likewise")
    weight: Weight = Field(1.0, description="of each distance of features")
    feature_distance: FeatureDistance = Field(
        "normalised", description="normalised: of maps of unit root mean square; mse: as published"
    )
    calibration_alpha: Factor = Field(75.0, description="of the self-calibrated sampling")
    calibration_form: CalibrationForm = Field(
        "released",
        description="released: alpha log(1 + L), where alpha cancels; inside-log: log(1 + alpha L)",
    )
    ema_decay: ShareBelowOne = Field(
        0.9, description="of the moving average of a class's L over batches"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones: ``mse``, and all teachers trained."""
        none_given = dict.fromkeys(("head_teacher", "middle_teacher", "tail_teacher"))
        return {**BEFORE_THE_CHOICE, **none_given, **super().with_new_names(values)}


class CrossModalitySettings(Settings):
    """Settings of ``--method cross-modality``."""

    paired: str | None = Field(None, description="image folder of the other sensor, same names")
    bands: Bands = Field(1, description="of the other sensor")
    size: Side | None = Field(None, description="side its images are read at; none: as ours")
    iterations: int = Field(0, ge=0, le=1000, description="0: method 1; more: rounds of method 2")
    control: bool = Field(
        True, description="method 2: also train ours as long without a teacher, for comparison"
    )
    weight: Share = Field(0.2, description="of the teacher of our sensor's network")
    paired_weight: Share = Field(0.8, description="of the teacher of the other sensor's network")
    temperature: Temperature = Field(2.0, description="T of the softened classes")
    reduction: Literal["batchmean", "mean"] = Field(
        "batchmean", description="KL summed over classes, or as released its mean over them"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones had no control."""
        return {"control": False, **super().with_new_names(values)}


class LshSettings(Settings):
    """Settings of ``--method lsh``."""

    renamed: ClassVar[Mapping[str, str]] = {
        "mimic": "loss",
        "hashes": "num_hashes",
        "warm_up": "warmup",
    }

    loss: MimicLoss = Field("lshl2", description="l2, lsh, or both: lshl2")
    weight: Weight = Field(6.0, description="beta, of the mimicking losses")
    num_hashes: int = Field(2048, ge=1, le=65_536, description="N random hyperplanes")
    bias: HyperplaneBias = Field(
        "median", description="where the hyperplanes cut: zero, mean, median"
    )
    mask: bool = Field(True, description="mimic only where the teacher is right")
    warmup: ShareBelowOne = Field(0.1, description="share of the steps until full weight")
    matching_fraction: ShareBelowOne = Field(
        0.0, description="share of the steps before, for the matching layer alone"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones had one stage."""
        return {"matching_fraction": 0.0, **super().with_new_names(values)}


class SecondStageSettings(Settings):
    """Settings of the second stage."""

    renamed: ClassVar[Mapping[str, str]] = {"steps": "steps_fraction", "lr": "lr_factor"}

    steps_fraction: PositiveShare = Field(0.2, description="crt, lws, maxnorm: share of the steps")
    lr_factor: Factor = Field(1.0, description="crt, lws, maxnorm: factor of the learning rate")
    label_smoothing: ShareBelowOne = Field(
        0.0, description="crt, lws: label_smoothing in the second stage, if not 0"
    )
    norm_limit: Share = Field(
        0.1, description="maxnorm: between smallest (0) and largest norm of a class"
    )
    weight_decay: Weight = Field(0.1, description="maxnorm: of the classifier's weights")
    tau: Weight = Field(1.0, description="tau-norm: used if no validation part can choose it")
