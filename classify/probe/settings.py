"""Settings of ``classify probe``; imports nothing heavy."""

from typing import Self

from pydantic import Field, model_validator

from tgn.probe.settings import (
    GENERATED_SHARE,
    FeatureSettings,
    FewImagesSettings,
    HeadName,
    ViewSettings,
)
from tgn.runtime.bounds import Factor, InnerShare
from tgn.runtime.settings import DeviceSettings


class ProbeFeatureSettings(ViewSettings, FewImagesSettings):
    """Settings of the features of a probe: those of all probes of a comparison."""

    with_validation: bool = Field(
        False, description="also fit the validation part, which a probe does not need"
    )
    generated_share: InnerShare = Field(
        GENERATED_SHARE,
        description="most of a class's weight that generated or transferred rows have: of n real "
        "and g such rows that times g / (n + g)",
    )


class ProbeSettings(DeviceSettings, ProbeFeatureSettings, FeatureSettings):
    """Settings of a linear probe; it computes in float32."""

    head: HeadName = Field(
        "ridge", description="ridge, prototypes, softmax; ensemble: ridge and prototypes"
    )
    transfer: int = Field(
        0,
        ge=0,
        le=10_000,
        description="rows of each rare image, moved as two of a similar head class differ",
    )
    transfer_scale: Factor = Field(1.0, description="of these differences")

    @model_validator(mode="after")
    def _scale_has_an_effect(self) -> Self:
        if self.transfer == 0 and self.transfer_scale != 1:
            raise ValueError(
                f"transfer_scale got {self.transfer_scale:g} with transfer=0; set transfer"
            )
        return self


def probe_name(settings: ProbeSettings, augmented: bool) -> str:
    """Name the classifier by what tells probes apart, e.g. ``probe-prototypes+generated``."""
    head = "" if settings.head == "ridge" else f"-{settings.head}"
    transfer = "-transfer" if settings.transfer else ""
    return f"probe{head}{transfer}" + "+generated" * augmented
