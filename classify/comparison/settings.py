"""Settings of ``classify compare``; imports nothing heavy."""

from pydantic import Field

from classify.probe.settings import ProbeFeatureSettings
from classify.training.settings import TrainSettings


class CompareSettings(TrainSettings):
    """Settings of every training, and of the features of the recipes that are probes."""

    probe: ProbeFeatureSettings = Field(ProbeFeatureSettings(), description="of the probes")

    @property
    def training(self) -> TrainSettings:
        """The settings of the trainings alone."""
        return TrainSettings.model_validate(self.model_dump(exclude={"probe"}, exclude_unset=True))
