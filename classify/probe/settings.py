"""Settings of ``classify probe``; imports nothing heavy."""

from pydantic import Field

from tgn.probe.settings import GENERATED_SHARE, FeatureSettings, HeadName, ViewSettings
from tgn.runtime.settings import DeviceSettings


class ProbeFeatureSettings(ViewSettings):
    """Settings of the features of a probe: those of all probes of a comparison."""

    with_validation: bool = Field(
        False, description="also fit the validation part, which a probe does not need"
    )
    generated_share: float = Field(
        GENERATED_SHARE, gt=0, lt=1, description="of a class's weight, that of its generated images"
    )


class ProbeSettings(DeviceSettings, ProbeFeatureSettings, FeatureSettings):
    """Settings of a linear probe; it computes in float32."""

    head: HeadName = Field(
        "ridge", description="ridge, prototypes, softmax; ensemble: ridge and prototypes"
    )


def probe_name(settings: ProbeSettings, augmented: bool) -> str:
    """Name the classifier by what tells probes apart, e.g. ``probe-prototypes+generated``."""
    head = "" if settings.head == "ridge" else f"-{settings.head}"
    return f"probe{head}" + "+generated" * augmented
