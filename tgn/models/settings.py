"""Settings of a classifier network; imports nothing heavy."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from tgn.models.pretrained import IMAGENET
from tgn.runtime.bounds import Bands, Side
from tgn.runtime.config import Settings

AUTO, FROM_SCRATCH, PACKAGED, HUB = "auto", "none", "imagenet", "pretrained"  # else a file

FeatureDistance = Literal["normalised", "mse"]


def is_of_a_hub(arch: str) -> bool:
    """Return whether timm would take an architecture's name for a place to fetch it from."""
    return ":" in arch or "/" in arch


def _local(arch: str) -> str:
    if is_of_a_hub(arch):
        raise ValueError("expected the name of a network, e.g. resnet50; no place, no hub")
    return arch


ArchName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_local)]
"""'tiny', or a network of timm, which is not fetched from anywhere."""


class BackboneSettings(Settings):
    """Which network, at what size, from which weights."""

    arch: ArchName = Field(
        "tiny", description="'tiny', or any timm network with stages, e.g. resnet50"
    )
    weights: str = Field(
        AUTO,
        description="auto: imagenet if a package has it, else none; pretrained (timm's), or a file",
    )
    size: Side = Field(32, description="side in pixels at which images are read")
    bands: Bands = Field(3, description="3: RGB, 1: grey; others from TIFF, .npy")

    @field_validator("weights", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        """Take YAML's null and Python's None for ``none``."""
        return FROM_SCRATCH if value is None else value

    @property
    def initial_weights(self) -> str:
        """What the network starts from: ``none``, ``imagenet``, ``pretrained`` or a file."""
        if self.weights != AUTO:
            return self.weights
        return PACKAGED if self.arch in IMAGENET else FROM_SCRATCH

    @property
    def is_pretrained(self) -> bool:
        """Whether the network starts from trained weights."""
        return self.initial_weights != FROM_SCRATCH

    @classmethod
    def with_new_names(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return recorded settings as today's; ``null`` was the default and meant from scratch."""
        found = super().with_new_names(values)
        if "weights" in found and found["weights"] is None:
            found["weights"] = FROM_SCRATCH if found.get("arch") in IMAGENET else AUTO
        return found
