"""Settings of adapting a pretrained model and of sampling from it; imports nothing heavy."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tgn.generation.settings import GenerateSettings
from tgn.runtime.bounds import LARGEST_SIDE, BatchSize, LearningRate, Steps
from tgn.runtime.settings import ComputeSettings, LoopSettings

RecipeName = Literal["none", "fill-up", "discl"]
Tuning = Literal["none", "lora", "textual-inversion"]

# Fill-Up: Shin et al. 2023, arXiv 2306.07200. DisCL: Liang et al. 2025, arXiv 2410.13674; the
# guidance is that of their code. What they set on both sides, classifiers excepted:
TRAIN_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fill-up": {"tuning": "textual-inversion"},
    "discl": {"tuning": "none"},
}
SAMPLE_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fill-up": {"noise": 1.0, "guidance": 1.0},
    "discl": {"noise": (0.3, 0.5, 0.7, 0.9), "guidance": 10.0},
}
# Vectors begin far from their goal, and each class has its own: more steps, larger ones.
TUNING_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "textual-inversion": {"steps": 3000, "lr": 2e-3},
}
TUNED: tuple[Tuning, ...] = ("lora", "textual-inversion")
TUNINGS_OF: Mapping[str, tuple[Tuning, ...]] = {
    "rank": ("lora",),
    "vectors": ("textual-inversion",),
    "classes": TUNED,
}


class PretrainedTrainSettings(ComputeSettings, LoopSettings):
    """Settings of ``tgn train --backend stable-diffusion``."""

    model: str = Field("", description="name on the hub, or a folder in the diffusers format")
    recipe: RecipeName = Field("none", description="a published recipe: none, fill-up, discl")
    size: int | None = Field(
        None,
        ge=32,
        multiple_of=8,
        le=LARGEST_SIDE,
        description="side in pixels; default: the model's own",
    )
    tuning: Tuning = Field(
        "none", description="on the run's images: none, lora, or textual-inversion"
    )
    classes: Literal["all", "tail"] = Field(
        "tail", description="tuning: images of which classes; head classes need all"
    )
    rank: int = Field(8, ge=1, le=1024, description="of the LoRA matrices")
    vectors: int = Field(
        1, ge=1, le=16, description="textual inversion: learned vectors that stand for a class"
    )
    steps: Steps = Field(500, description="optimisation steps of tuning; textual inversion: 3000")
    batch_size: BatchSize = Field(4, description="images a step, over all processes")
    lr: LearningRate = Field(
        1e-4, description="learning rate of tuning (AdamW); textual inversion: 2e-3"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Put what the recipe and the tuning set below what was given."""
        values = _with_preset(values, TRAIN_PRESETS)
        return {**TUNING_DEFAULTS.get(str(values.get("tuning")), {}), **values}

    @model_validator(mode="after")
    def _check_effects(self) -> Self:
        for name, tunings in TUNINGS_OF.items():
            is_given = getattr(self, name) != type(self).model_fields[name].default
            if is_given and self.tuning not in tunings:
                raise ValueError(
                    f"{name} got tuning={self.tuning}; it needs tuning={' or '.join(tunings)}"
                )
        return self


class PretrainedSampleSettings(GenerateSettings):
    """Settings of ``tgn generate`` with a pretrained model."""

    recipe: RecipeName = Field("none", description="a published recipe: none, fill-up, discl")
    block: BatchSize = Field(
        4, description="images computed at once; changes the last bit of pixels"
    )
    sampling_steps: int = Field(25, ge=2, le=1000, description="steps of the sampler at r = 1")
    guidance: float = Field(
        5.0, ge=1, le=1000, description="classifier-free guidance scale; 1 is none"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Put what the recipe sets below what was given."""
        return _with_preset(values, SAMPLE_PRESETS)

    def _own_settings(self) -> set[str]:
        """Leave the recipe out: its name says no more than its values."""
        return super()._own_settings() - {"recipe"}


def _with_preset(values: Any, presets: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return the values that were given, above those of their recipe."""
    return {**presets.get(str(values.get("recipe")), {}), **values}
