"""Settings of training a detector; imports no torch, so that ``--help`` answers at once."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from classify.detection.settings.augmentation import AugmentationSettings
from classify.detection.settings.backbone import DetectorBackboneSettings
from classify.detection.settings.head import DENSE, NMS_CANDIDATES, HeadInit, HeadSettings
from classify.detection.settings.long_tail import LongTailSettings
from classify.detection.settings.scale import ScaleSettings
from classify.detection.settings.validation import ValidationSettings
from tgn.runtime.bounds import (
    InnerShare,
    Seed,
    Share,
    ShareBelowOne,
    Temperature,
    Weight,
)
from tgn.runtime.config import Settings
from tgn.runtime.settings import ComputeSettings

DistillName = Literal["none", "l2", "lsh", "lshl2", "kd", "ld", "ld+kd"]
ImitationRegion = Literal["none", "gibox", "fine-grained", "gt"]
MIMICKING: tuple[DistillName, ...] = ("l2", "lsh", "lshl2")


class DistillationWeights(NamedTuple):
    """Temperatures and weights of the terms; named as in the settings."""

    ld_temperature: float
    kd_temperature: float
    ld_weight: float
    vlr_weight: float
    kd_weight: float


UPRIGHT = DistillationWeights(10.0, 2.0, 0.25, 0.25, 10.0)  # published
UPRIGHT_MEANS = UPRIGHT._replace(ld_weight=4.0, vlr_weight=4.0)  # for sums divided by anchors
ROTATED = DistillationWeights(5.0, 5.0, 10.0, 0.0, 20.0)  # published with the GWD loss
ROTATED_KLD = ROTATED._replace(ld_weight=15.0, kd_weight=15.0)  # published with the KLD loss


class MimicSettings(Settings):
    """Settings of feature mimicking: ``--distill l2``, ``lsh`` and ``lshl2``."""

    renamed: ClassVar[Mapping[str, str]] = {
        "hashes": "num_hashes",
        "warm_up": "warmup",
        "places": "locations",
        "inherit": "inherit_head",
    }

    weight: Weight = Field(7.0, description="beta, of the mimicking losses")
    num_hashes: int = Field(4096, ge=1, le=65_536, description="N hyperplanes of the hash")
    warmup: ShareBelowOne = Field(
        0.0, description="share of the steps in which the weight rises linearly"
    )
    locations: Literal["published", "positives"] = Field(
        "published", description="of RetinaNet: nearly everywhere, or where a positive anchor is"
    )
    lsh_length: Literal["free", "teacher"] = Field(
        "free", description="of lsh: the student's features, as published, or at the teacher's norm"
    )
    inherit_head: bool = Field(
        False,
        description="start from the teacher's layers that read the features",
    )


class LocalizationSettings(Settings):
    """Settings of localization distillation (LD) and logit KD: ``--distill kd|ld|ld+kd``."""

    renamed: ClassVar[Mapping[str, str]] = {
        "temperature": "ld_temperature",
        "class_temperature": "kd_temperature",
        "weight": "ld_weight",
        "valuable_weight": "vlr_weight",
        "class_weight": "kd_weight",
        "classes": "kd_activation",
        "region": "region_iou",
    }

    ld_temperature: Temperature | None = Field(
        None, description="T of the box distributions; default 10, of rotated boxes 5"
    )
    kd_temperature: Temperature | None = Field(
        None, description="T of the class logits; default 2, of rotated boxes 5"
    )
    ld_weight: Weight | None = Field(
        None,
        description="LD on positive anchors; default 0.25 (normalise=positives: 4), rotated 10, "
        "with kld 15",
    )
    vlr_weight: Weight | None = Field(
        None,
        description="LD in the valuable localization region; default 0.25 (normalise=positives: 4)",
    )
    kd_weight: Weight | None = Field(
        None, description="KD of class logits; default 10, of rotated boxes 20, with kld 15"
    )
    kd_activation: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="over all classes, as published, or each class against the rest"
    )
    normalise: Literal["published", "positives"] = Field(
        "published", description="of gfl: divide sums as published, or by the number of anchors"
    )
    region_iou: Literal["published", "rotated"] = Field(
        "published", description="IoU of anchors with rotated boxes: without the angle, or exact"
    )
    angle: Literal["plain", "periodic"] = Field(
        "plain", description="periodic: angles that differ by half a turn are equal"
    )


class ImitationSettings(Settings):
    """Settings of imitating a dense teacher's feature pyramid."""

    region: ImitationRegion = Field("none", description="none, gibox, fine-grained, gt")
    weight: Weight = Field(2.0, description="of the mean squared difference")


class DetectSettings(
    ValidationSettings,
    AugmentationSettings,
    ScaleSettings,
    LongTailSettings,
    HeadSettings,
    DetectorBackboneSettings,
    ComputeSettings,
):
    """Settings of ``classify detect train``."""

    renamed: ClassVar[Mapping[str, str]] = {
        **ComputeSettings.renamed,
        **ValidationSettings.renamed,
        "weights": "backbone_weights",
        "width": "fpn_channels",
        "patch": "tile_size",
        "overlap": "tile_overlap",
    }

    empty_share: Share = Field(
        0.0, description="of images (or tiles) without objects, the share that is trained on"
    )
    test_fraction: InnerShare = Field(0.2, description="share of the images held out")
    split_seed: Seed = Field(0, description="of the held-out part; does not change with seed")
    distill: DistillName = Field("none", description="none, l2, lsh, lshl2, kd, ld, ld+kd")
    mimic: MimicSettings = Field(MimicSettings(), description="of l2, lsh, lshl2")
    localization: LocalizationSettings = Field(
        LocalizationSettings(), description="of kd, ld, ld+kd"
    )
    imitation: ImitationSettings = Field(
        ImitationSettings(), description="of the feature pyramid; alone or with kd, ld, ld+kd"
    )

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; one that they lack was as by default.

        Only the levels of ``gfl`` had no factors.
        """
        defaults = {
            name: field.default
            for name, field in cls.model_fields.items()
            if isinstance(field.default, bool | int | float | str | tuple)
        }
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
        plain["level_scales"] = values.get("detector") != "gfl"
        return {**plain, **super().with_new_names(values)}

    @property
    def initial_head(self) -> HeadInit:
        """Return how convolutions of a one-stage head begin, never ``auto``."""
        if self.head_init != "auto":
            return self.head_init
        return "kaiming" if self.optimizer == "adamw" else "normal"

    @property
    def distillation(self) -> dict[str, str]:
        """Return the settings by which the student learns from a teacher; empty without one."""
        chosen = {"distill": self.distill, "imitation.region": self.imitation.region}
        return {name: value for name, value in chosen.items() if value != "none"}

    @property
    def distillation_weights(self) -> DistillationWeights:
        """Return the values that are set, and the published ones for the others."""
        chosen = self.localization
        if self.is_rotated:
            defaults = ROTATED_KLD if self.box_loss.startswith("kld") else ROTATED
        else:
            defaults = UPRIGHT if chosen.normalise == "published" else UPRIGHT_MEANS
        values = {name: getattr(chosen, name) for name in DistillationWeights._fields}
        given = {name: value for name, value in values.items() if value is not None}
        return defaults._replace(**given)

    @property
    def resolved(self) -> "DetectSettings":
        """Return the settings to be shown: with the values of those that depend on others."""
        values: dict[str, Any] = {
            "nms_candidates": self.nms_candidates or NMS_CANDIDATES[self.detector],
            "backbone_weights": self.initial_weights,
            "backbone_norm": self.norm,
            "warmup_steps": self.warmup_length,
            "test_short_side": self.short_side,
        }
        if self.is_one_stage:
            values["head_init"] = self.initial_head
        if self.detector in DENSE:
            weights = self.distillation_weights._asdict()
            values["localization"] = self.localization.model_copy(update=weights)
        return self.model_copy(update=values)

    @property
    def compares_features(self) -> bool:
        """Return whether the feature maps of student and teacher must have equal width."""
        mimics_tower = self.detector == "retinanet" and self.distill in MIMICKING
        return mimics_tower or self.imitation.region != "none"

    def _without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield settings that are not as by default though nothing reads them, and what would."""
        fields = type(self).model_fields
        for name, is_read, by in (
            *self.schedule_uses(),
            *self.scale_uses(),
            *self.head_uses(),
            ("mimic", self.distill in MIMICKING, f"distill={', '.join(MIMICKING)}"),
            ("localization", self.distill in ("kd", "ld", "ld+kd"), "distill=kd, ld, ld+kd"),
            ("repeat_threshold", self.sampling == "repeat-factor", "sampling=repeat-factor"),
            ("paste_share", bool(self.paste), "paste"),
            ("paste_below", bool(self.paste), "paste"),
            ("imitation", self.imitation.region != "none", "imitation.region"),
        ):
            if not is_read and getattr(self, name) != fields[name].default:
                yield name, by

    @model_validator(mode="after")
    def _has_an_effect(self) -> "DetectSettings":
        for name, by in self._without_effect():
            raise ValueError(f"{name} has no effect without {by}; set that too, or leave it out")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "DetectSettings":
        is_dense = self.detector in DENSE
        if self.distill != "none" and is_dense == (self.distill in MIMICKING):
            fitting = "kd, ld, ld+kd" if is_dense else ", ".join(MIMICKING)
            raise ValueError(f"distill={self.distill} is not for {self.detector}; take {fitting}")
        if self.imitation.region != "none" and not is_dense:
            raise ValueError(f"imitation is for {' and '.join(DENSE)}, not for {self.detector}")
        return self
