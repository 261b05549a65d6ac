"""Settings that every backend of generation shares; imports nothing heavy."""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tgn.runtime.bounds import BatchSize, Count, Seed, Share, Steps, Weight
from tgn.runtime.settings import ComputeSettings, LoopSettings

OutputFormat = Literal["png", "jpeg", "webdataset"]
Ratio = Annotated[float, Field(ge=0, le=1)]


class GeneratorTrainSettings(ComputeSettings, LoopSettings):
    """Settings of training a generator from scratch that its backends share."""

    steps: Steps = Field(1500, description="optimisation steps of the generator")
    size: Literal[32, 64, 128, 256] = Field(64, description="side in pixels")
    batch_size: int = Field(64, ge=4, le=16_384, description="images a step, over all processes")
    classes: Literal["all", "tail"] = Field("all", description="train on head classes too, or not")
    ema_images: float = Field(
        10_000, gt=0, le=1e9, description="half-life of the averaged weights, images"
    )
    grid_every: Steps = Field(500, description="steps between sample grids and collapse checks")
    collapse_fraction: Weight = Field(
        0.3, description="warn when samples vary less than this share of real images"
    )


class GenerateSettings(ComputeSettings):
    """Settings of ``tgn generate`` that all backends share."""

    noise: Share = Field(
        0.4, description="r: 0 reproduces the source image, 1 ignores it; or several"
    )
    noise_ratios: tuple[Ratio, ...] = Field(
        (), description="several r, set by e.g. noise=1,0.7,0.4: each source is drawn at all"
    )
    n: Count | None = Field(
        None,
        description="images per class; default: fill the tail up to the largest class, and as many "
        "of each head class as of a tail class on average",
    )
    format: OutputFormat = Field("png", description="png, jpeg, or webdataset: png in .tar shards")
    block: BatchSize = Field(
        64, description="images computed at once; changes the last bit of pixels"
    )
    seed: Seed = Field(0, description="another seed generates other images")

    @model_validator(mode="before")
    @classmethod
    def _several_ratios(cls, values: Any) -> Any:
        """Take ``1,0.7,0.4`` or a list for several ratios; the first one is ``noise``."""
        given = values.get("noise") if isinstance(values, dict) else None
        if isinstance(given, str) and "," in given:
            given = [part.strip() for part in given.split(",")]
        if not isinstance(given, list | tuple):
            return values
        if not given:
            raise ValueError("noise got no ratio, expected one or more, e.g. 1,0.7,0.4")
        if also := values.get("noise_ratios"):
            raise ValueError(f"noise_ratios got {also} beside several in noise; give noise alone")
        several = given if len(given) > 1 else ()
        return {**values, "noise": given[0], "noise_ratios": several}

    @model_validator(mode="after")
    def _ratios_fit(self) -> Self:
        several = self.noise_ratios
        if len(set(several)) < len(several) or len(several) == 1:
            raise ValueError(f"noise got {several}, expected different ratios, e.g. 1,0.7,0.4")
        if several and self.noise != several[0]:
            raise ValueError(f"noise got {self.noise:g} and noise_ratios {several}; give one")
        return self

    @property
    def ratios(self) -> tuple[float, ...]:
        """The noise ratios r_1, ..., r_K, in which the images of a class are dealt in turn.

        Image i of a class is draw i // K, of one source and seed, at the ratio number i mod K.
        """
        return self.noise_ratios or (self.noise,)

    def at_ratio(self, ratio: float) -> Self:
        """Return the settings of the images of one ratio."""
        return self.model_copy(update={"noise": ratio, "noise_ratios": ()})

    @classmethod
    def of(cls, settings: "GenerateSettings") -> Self:
        """Return settings as those of this backend, validated only where they are another's."""
        return settings if isinstance(settings, cls) else cls(**settings.model_dump())

    @property
    def how(self) -> str:
        """The backend's own settings as JSON; images generated with others are other images."""
        own = self._own_settings()
        return self.model_dump_json(include=own) if own else ""

    def _own_settings(self) -> set[str]:
        """Return the names of the backend's own settings that change images."""
        return set(type(self).model_fields) - set(GenerateSettings.model_fields)

    def is_recorded_as(self, how: str) -> bool:
        """Return whether an image was generated with these settings of the backend.

        Args:
            how: of its row in the manifest, perhaps written by an older version.
        """
        if how == self.how:
            return True
        try:
            recorded = json.loads(how)
        except json.JSONDecodeError:
            return False
        return isinstance(recorded, dict) and self.with_new_names(recorded) == json.loads(
            self.how or "{}"
        )


class TransferSettings(GenerateSettings):
    """Settings of backends that are conditioned on features of the feature bank."""

    transfer: Share = Field(
        0.0, description="t of f + t (a - b): a, b are two of a head class like f's"
    )

    @model_validator(mode="after")
    def _transfers_to_something(self) -> Self:
        if self.transfer and min(self.ratios) == 1:
            raise ValueError("transfer got noise=1, which ignores features; give a smaller noise")
        return self

    def _own_settings(self) -> set[str]:
        """Leave transfer out where there is none, as older versions did."""
        return super()._own_settings() - (set() if self.transfer else {"transfer"})
