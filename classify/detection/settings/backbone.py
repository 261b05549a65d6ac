"""Settings of a detector's backbone, and of what it starts from; imports no torch."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tgn.models.pretrained import IMAGENET
from tgn.models.settings import AUTO, FROM_SCRATCH, PACKAGED, ArchName
from tgn.runtime.config import Settings

BackboneNorm = Literal["auto", "trained", "statistics", "frozen"]


class DetectorBackboneSettings(Settings):
    """Which backbone, from which weights, and what of it is trained."""

    backbone: ArchName = Field(
        "tf_efficientnet_lite0",
        description="resnet18/34/50/101, vgg11/16 (or _bn), or any of timm with feature maps",
    )
    backbone_weights: str = Field(
        AUTO,
        description="auto: imagenet if a package has it, else none; pretrained (torchvision's or "
        "timm's), or a file",
    )
    backbone_norm: BackboneNorm = Field(
        "auto",
        description="batch normalisation: trained; statistics (these are fixed); frozen (weights "
        "too); auto: frozen with initial weights, else trained",
    )
    start: str | None = Field(
        None,
        description="a trained detector to start from: name or file, also a state dict of "
        "torchvision's or mmdetection's; all but its classes are taken",
    )
    frozen_stages: int = Field(
        0, ge=0, le=4, description="first stages of the backbone that are not trained"
    )

    @field_validator("backbone_weights", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        """Take YAML's null and Python's None for ``none``."""
        return FROM_SCRATCH if value is None else value

    @property
    def initial_weights(self) -> str:
        """Return what the backbone starts from: none, imagenet, pretrained or a file."""
        if self.backbone_weights != AUTO:
            return self.backbone_weights
        if self.start is not None:
            return FROM_SCRATCH
        return PACKAGED if self.backbone in IMAGENET else FROM_SCRATCH

    @property
    def norm(self) -> BackboneNorm:
        """Return how batch normalisation of the backbone is treated, never ``auto``."""
        if self.backbone_norm != "auto":
            return self.backbone_norm
        return "frozen" if self.is_pretrained else "trained"

    @property
    def is_pretrained(self) -> bool:
        """Return whether the backbone starts from trained weights."""
        return self.start is not None or self.initial_weights != FROM_SCRATCH

    @model_validator(mode="after")
    def _starts_from_something(self) -> "DetectorBackboneSettings":
        for name, is_set in (
            ("frozen_stages", self.frozen_stages > 0),
            ("backbone_norm", self.backbone_norm in ("frozen", "statistics")),
        ):
            if is_set and not self.is_pretrained:
                raise ValueError(
                    f"{name} needs backbone_weights: else random weights would be frozen"
                )
        if self.start is not None and self.backbone_weights != AUTO:
            raise ValueError(f"start={self.start} has a backbone; leave backbone_weights out")
        return self
