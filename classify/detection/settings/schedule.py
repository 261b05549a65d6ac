"""Settings of a detector's training in time: its length, batches, optimiser and rates."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tgn.runtime.bounds import BatchSize, Factor, LearningRate, PositiveShare, Steps, Weight
from tgn.runtime.errors import UserError
from tgn.runtime.settings import LoopSettings

WARMUP = 0.05  # share of the steps
Milestone = Annotated[int, Field(ge=1, le=10**8)]


def _usual_rate(values: Mapping[str, Any]) -> float:
    """Return the default of ``lr``."""
    return 0.01 if values.get("optimizer") == "sgd" else 0.0005


class ScheduleSettings(LoopSettings):
    """Length, batches, optimiser and learning rates.

    With ``epochs``, what counts steps is right once :meth:`of_length` has counted the images.
    """

    renamed: ClassVar[Mapping[str, str]] = {**LoopSettings.renamed, "clip": "max_grad_norm"}

    steps: Steps = Field(2000, description="optimisation steps")
    epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="in place of steps: so many times each image (or tile) is shown once, in an "
        "order drawn anew; the last batch of an epoch is filled up with its first images",
    )
    batch_size: BatchSize = Field(
        4,
        description="images that are in memory at once, over all processes; a step, if "
        "accumulation=1",
    )
    accumulation: int = Field(
        1,
        ge=1,
        le=1024,
        description="batches of which a step averages the gradients: a step has "
        "batch_size times so many images",
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        "adamw", description="adamw: better if steps are few; sgd: that of published schedules"
    )
    lr: LearningRate = Field(
        default_factory=_usual_rate,
        description="peak learning rate, after the warm-up; default 0.0005, of sgd 0.01",
    )
    lr_schedule: Literal["cosine", "milestones", "constant"] = Field(
        "cosine", description="after the warm-up: down to 0, down at milestones, or as it is"
    )
    milestones: tuple[Milestone, ...] = Field(
        (),
        max_length=100,
        description="finished epochs (without epochs: steps) at which the rate is multiplied by "
        "decay",
    )
    decay: PositiveShare = Field(0.1, description="factor of the rate at each milestone")
    warmup_steps: int | None = Field(
        None,
        ge=0,
        le=10**8,
        description="steps in which the rate rises linearly; default a twentieth of all",
    )
    warmup_factor: PositiveShare = Field(
        0.1667, description="of the rate, in the first step of the warm-up"
    )
    weight_decay: Weight = Field(1e-4, description="of all weights")
    max_grad_norm: Factor | None = Field(
        10.0, description="gradients are clipped to this norm; null: they are not"
    )

    @property
    def images_per_step(self) -> int:
        """Return how many images an optimisation step is made of, over all processes."""
        return self.batch_size * self.accumulation

    @property
    def warmup_length(self) -> int:
        """Return the number of steps in which the rate rises."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return max(round(WARMUP * self.steps), 1)

    @property
    def steps_per_epoch(self) -> int:
        """Return the steps of an epoch; 1 without epochs: all is then counted in steps."""
        return 1 if self.epochs is None else self.steps // self.epochs

    def of_length(self, num_images: int) -> Self:
        """Return the settings with the number of steps that the epochs make.

        Args:
            num_images: images or tiles that are trained on, at least one.

        Raises:
            UserError: if another number of steps was given.
        """
        if self.epochs is None:
            return self
        steps = self.epochs * math.ceil(num_images / self.images_per_step)
        if "steps" in self.model_fields_set and self.steps != steps:
            raise UserError(
                f"got epochs={self.epochs} and steps={self.steps}, but these epochs of "
                f"{num_images} images are {steps} steps; leave one of the two out"
            )
        return self.model_copy(update={"steps": steps})

    def schedule_uses(self) -> Iterator[tuple[str, bool, str]]:
        """Yield settings, whether anything reads them, and what would."""
        has_milestones = self.lr_schedule == "milestones"
        yield "milestones", has_milestones, "lr_schedule=milestones"
        yield "decay", has_milestones, "lr_schedule=milestones"
        yield "warmup_factor", self.warmup_steps != 0, "warmup_steps"

    @model_validator(mode="after")
    def _milestones_are_met(self) -> Self:
        length, what = (self.epochs, "epochs") if self.epochs else (self.steps, "steps")
        if self.lr_schedule == "milestones" and not self.milestones:
            raise ValueError(f"lr_schedule=milestones needs milestones, in {what}: [8, 11]")
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"milestones must rise, got {list(self.milestones)}")
        if late := [one for one in self.milestones if one >= length]:
            raise ValueError(
                f"milestones {late} are never met in {length} {what}; leave them out, or train "
                "longer"
            )
        return self
