"""Settings of ``classify compare``; imports nothing heavy."""

from pydantic import Field

from classify.probe.settings import ProbeSettings
from classify.training.settings import TrainSettings


class CompareSettings(TrainSettings):
    """Settings of every training, and of the recipes ``probe`` and ``probe-prototypes``."""

    probe: ProbeSettings = Field(
        ProbeSettings(), description="of probes; seed, device, precision are those of all recipes"
    )

    @property
    def training(self) -> TrainSettings:
        """The settings of the trainings alone."""
        return TrainSettings.model_validate(self.model_dump(exclude={"probe"}))
