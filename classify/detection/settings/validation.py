"""Settings of looking at a validation part during training."""

from collections.abc import Iterator

from pydantic import Field

from classify.detection.settings.schedule import ScheduleSettings
from tgn.runtime.bounds import Rounds, ShareBelowOne, Steps

EVERY_STEPS = 500


class ValidationSettings(ScheduleSettings):
    """Which part is looked at, how often, and when training ends early."""

    validation_share: ShareBelowOne = Field(
        0.0, description="of the training images, held out by image (split_seed) for validation"
    )
    validate_every: Steps | None = Field(
        None,
        description="epochs (without epochs: steps) between looks at the validation part; default "
        f"1 epoch, or {EVERY_STEPS} steps",
    )
    patience: Rounds | None = Field(
        None, description="training ends after so many looks without a gain; default: never early"
    )

    @property
    def steps_per_look(self) -> int:
        """Return the number of steps between looks."""
        usual = EVERY_STEPS if self.epochs is None else 1
        return (self.validate_every or usual) * self.steps_per_epoch

    def is_look(self, done: int) -> bool:
        """Return whether the validation part is looked at after so many steps; the last are."""
        return done > 0 and (done % self.steps_per_look == 0 or done == self.steps)

    def names_that_need_validation(self) -> Iterator[str]:
        """Yield settings that are given though nothing reads them without a validation part."""
        for name in ("validate_every", "patience"):
            if getattr(self, name) is not None:
                yield name
