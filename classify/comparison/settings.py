"""Settings of ``classify compare``; imports nothing heavy."""

from pydantic import Field

from classify.probe.settings import ProbeFeatureSettings
from classify.training.settings import TrainSettings
from tgn.runtime.settings import DeviceSettings


class CompareSettings(TrainSettings):
    """Settings of every training, and of the features of the recipes that are probes."""

    probe: ProbeFeatureSettings = Field(ProbeFeatureSettings(), description="of the probes")
    clip: str | None = Field(None, description="of clip-zero-shot: arch:tag or arch:/file")

    @property
    def training(self) -> TrainSettings:
        """The settings of the trainings alone."""
        return TrainSettings.model_validate(
            self.model_dump(exclude={"probe", "clip"}, exclude_unset=True)
        )


class ZeroShotSettings(DeviceSettings):
    """Settings of the recipe ``clip-zero-shot``; it computes in float32."""

    clip: str = Field(description="arch:tag or arch:/file")
