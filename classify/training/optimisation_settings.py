"""Settings of what is trained, by which optimiser and at which rates; imports nothing heavy."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tgn.models.rates import HEAD_LR_FACTOR, RateSettings
from tgn.runtime.bounds import Factor, PairedBatchSize, PositiveShare, ShareBelowOne, Steps
from tgn.runtime.settings import LoopSettings

Start = Literal["random", "probe"]
Tuning = Literal["all", "head", "adapters"]
ADAPTER_SIZE = 8
# What settings meant that were recorded before there was a choice.
BEFORE_THE_CHOICE: Mapping[str, Any] = {
    "arch": "tiny",
    "size": 32,
    "batch_size": 64,
    "optimizer": "sgd",
    "lr": 0.05,
    "weight_decay": 5e-4,
    "head_lr_factor": 1.0,
}


class OptimisationSettings(RateSettings, LoopSettings):
    """Length, optimiser, rates, and the parts that stay as they are.

    ``None`` and ``auto`` are replaced by :meth:`resolved` before a training, and recorded so.
    """

    steps: Steps = Field(600, description="optimisation steps")
    epochs: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="in place of steps: times that as many images are shown as there are",
    )
    batch_size: PairedBatchSize = Field(32, description="images a step, over all processes")
    start: Start = Field(
        "random", description="of the last layer on pretrained weights: random, or the ridge probe"
    )
    head_lr_factor: Factor | None = Field(
        None, description="of the last layer's rate; none: 10 if new on pretrained weights"
    )
    layer_decay: PositiveShare = Field(
        1.0, description="factor of the rate from each layer to the one below it"
    )
    tuning: Tuning = Field(
        "all",
        description="all, head (the last layer alone), adapters (of a vision transformer; and it)",
    )
    adapter_size: int = Field(
        ADAPTER_SIZE, ge=1, le=4096, description="tuning=adapters: width of each bottleneck"
    )
    freeze_stages: int = Field(
        0, ge=0, le=100, description="first stages that keep their weights and statistics"
    )
    freeze_norm: bool = Field(
        False, description="batch norms keep their statistics: for small batches"
    )
    warmup_fraction: ShareBelowOne = Field(
        0.05, description="share of the steps in which the rate rises"
    )
    ema_decay: ShareBelowOne = Field(
        0.98, description="of the averaged weights, which are the result"
    )

    def resolved(self, num_images: int | None = None, new_head: bool = True) -> Self:
        """Return the settings with values in place of ``auto`` and ``None``.

        Args:
            num_images: of the training, of which an epoch is made; None leaves epochs as they are.
            new_head: whether the last layer begins anew, unless ``start`` says otherwise.
        """
        new_head = new_head and self.is_pretrained and self.start == "random"
        changes: dict[str, Any] = {
            "optimizer": self.optimizer_used,
            **self.rates._asdict(),
            "head_lr_factor": self.head_lr_factor or (HEAD_LR_FACTOR if new_head else 1.0),
        }
        if self.epochs is not None and num_images is not None:
            changes["steps"] = max(round(self.epochs * num_images / self.batch_size), 1)
            changes["epochs"] = None
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if self.epochs is not None and "steps" in self.model_fields_set:
            raise ValueError("got both epochs and steps; give one of them")
        if self.start == "probe" and not self.is_pretrained:
            raise ValueError(
                "start=probe needs pretrained weights; the network starts from scratch"
            )
        frozen = {
            "tuning": self.tuning != "all",
            "freeze_stages": self.freeze_stages > 0,
            "freeze_norm": self.freeze_norm,
        }
        if not self.is_pretrained and (
            named := [name for name, is_set in frozen.items() if is_set]
        ):
            raise ValueError(
                f"{named[0]} would keep random weights: the network starts from scratch; "
                "give weights, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _tunes_something(self) -> Self:
        if self.tuning != "adapters" and self.adapter_size != ADAPTER_SIZE:
            raise ValueError(f"adapter_size got tuning={self.tuning}; it needs tuning=adapters")
        needless = {"freeze_stages": self.freeze_stages > 0, "freeze_norm": self.freeze_norm}
        if self.tuning != "all" and (named := [n for n, is_set in needless.items() if is_set]):
            raise ValueError(
                f"{named[0]} got tuning={self.tuning}, which freezes all of it already; leave "
                f"{named[0]} out"
            )
        return self

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; older ones meant SGD on a tiny network."""
        found = super().with_new_names(values)
        if "steps" in found and "optimizer" not in found:
            return {**cls().model_dump(mode="json"), **BEFORE_THE_CHOICE, **found}
        return found
