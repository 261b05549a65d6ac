"""Settings that several verbs share; imports nothing heavy, so that ``--help`` answers at once."""

from typing import Literal

from pydantic import Field

from tgn.runtime.bounds import Seed, Steps
from tgn.runtime.config import Settings

Precision = Literal["auto", "bf16", "float32"]


DeviceName = Literal["auto", "cpu", "cuda"]


class DeviceSettings(Settings):
    """Device of a verb."""

    device: DeviceName = Field("auto", description="auto takes a GPU if any")


class ComputeSettings(DeviceSettings):
    """Device and precision of a verb."""

    precision: Precision = Field("auto", description="auto: bf16 where it is fast")


class LoopSettings(Settings):
    """Length of a training, and how often it is logged and saved."""

    steps: Steps = Field(1000, description="optimisation steps")
    log_every: Steps = Field(20, description="steps between lines of metrics.jsonl")
    save_every: Steps = Field(500, description="steps between checkpoints")
    seed: Seed = Field(0, description="seed of everything random")
