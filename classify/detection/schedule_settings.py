"""Settings of a detector's training in time: its length, batches, optimiser and rates."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from tgn.runtime.bounds import BatchSize, Factor, LearningRate, Steps, Weight
from tgn.runtime.settings import LoopSettings


class ScheduleSettings(LoopSettings):
    """Length, batches, optimiser and learning rates."""

    renamed: ClassVar[Mapping[str, str]] = {**LoopSettings.renamed, "clip": "max_grad_norm"}

    steps: Steps = Field(2000, description="optimisation steps")
    batch_size: BatchSize = Field(4, description="images a step, over all processes")
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="sgd, or adamw: better if steps are few, with lr 0.0002 to 0.001"
    )
    lr: LearningRate = Field(0.01, description="peak learning rate (warm-up, then cosine)")
    weight_decay: Weight = Field(1e-4, description="of all weights")
    max_grad_norm: Factor = Field(10.0, description="gradients are clipped to this norm")
