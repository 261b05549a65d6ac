"""Settings of splitting a data set; imports nothing heavy."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tgn.data.sample_range import range_called
from tgn.data.splits.class_names import check_names
from tgn.data.splits.class_profiles import ProfileName
from tgn.runtime.bounds import Count, Imbalance, InnerShare, Seed, Share, ShareBelowOne
from tgn.runtime.config import Settings


def _checked(given: str | None) -> str | None:
    if given is not None:
        range_called(given)
    return given


Range = Annotated[
    str | None,
    AfterValidator(_checked),
    Field(description="LOW,HIGH or a sensor, of 16-bit and float images; none: measured"),
]
Names = Annotated[
    str | None,
    AfterValidator(check_names),
    Field(
        description="of numbered folders: dior, dota, fgsc-23, or a .json file; none: names.json"
    ),
]


class SplitSettings(Settings):
    """Settings of ``tgn split``."""

    head_fraction: Share = Field(0.4, description="share of the classes that is head")
    test_fraction: InnerShare = Field(0.2, description="held out if data has no test part")
    test_per_class: Count | None = Field(None, description="held out a class, in place of that")
    val_fraction: ShareBelowOne = Field(0.1, description="of training, to choose a step by")
    profile: ProfileName = Field("none", description="thin training: exponential, step or pareto")
    largest: Count | None = Field(None, description="training images of the largest class")
    imbalance: Imbalance = Field(50.0, description="largest / smallest count of the profile")
    class_order: str = Field(
        "count", pattern="^(count|seeded)$", description="who gets the large counts of the profile"
    )
    seed: Seed = Field(0, description="seed of all draws")
    hash_of: Literal["auto", "file", "pixels"] = Field(
        "auto", description="what split.csv hashes; auto: pixels of chips and scenes, else files"
    )
    names: Names = None
    range: Range = None

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        given = self.model_fields_set & {"imbalance", "class_order"}
        if given and self.profile == "none":
            raise ValueError(
                f"{min(given)} got profile=none, which thins nothing by it; add "
                "profile=exponential, step or pareto"
            )
        return self


class ListedSplitSettings(Settings):
    """Settings of ``tgn split --from``: the list decides everything else."""

    list_file: Path = Field(Path("split.csv"), description="the list; --from gives it")
    check_hashes: bool = Field(True, description="false: take images by their file names alone")
    names: Names = None
    range: Range = None
