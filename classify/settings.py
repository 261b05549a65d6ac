"""What can be set about training a classifier."""

from typing import Literal

from pydantic import Field

from tgn.core.settings import BackboneSettings, ComputeSettings, LoopSettings

Sampling = Literal["random", "class-balanced"]
LossName = Literal["ce", "balanced-softmax"]


class TrainSettings(BackboneSettings, ComputeSettings, LoopSettings):
    """Settings of ``classify train`` and ``classify compare``."""

    steps: int = Field(600, ge=1, description="optimisation steps")
    batch_size: int = Field(64, ge=2, description="images a step, over all processes")
    save_every: int = Field(1000, ge=1, description="steps between checkpoints")
    sampling: Sampling = Field("random", description="random, or class-balanced")
    loss: LossName = Field("ce", description="ce, or balanced-softmax")
    generated_share: float = Field(
        0.5, ge=0, le=1, description="class-balanced: of a class's places, if it has generated ones"
    )
    generated_until: float = Field(
        0.6, ge=0, le=1, description="class-balanced: share of the steps before real images only"
    )
    lr: float = Field(0.05, gt=0, description="highest learning rate (SGD, cosine)")
    weight_decay: float = Field(5e-4, ge=0, description="of all weights")
    looks: int = Field(8, ge=1, description="how often the validation part is looked at")


def recipe_name(settings: TrainSettings, augmented: bool) -> str:
    """Name what tells one training from another, e.g. ``balanced+generated``."""
    names = {
        ("random", "ce"): "ce",
        ("class-balanced", "ce"): "balanced",
        ("random", "balanced-softmax"): "balanced-softmax",
        ("class-balanced", "balanced-softmax"): "balanced-balanced-softmax",
    }
    return names[settings.sampling, settings.loss] + ("+generated" if augmented else "")
