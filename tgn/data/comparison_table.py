"""The part of ``compare.json`` that is read outside of ``classify compare``."""

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Interval(_Part):
    """A mean over seeds and half of its 95% interval, None of one seed."""

    mean: float
    half_width: float | None


class ClassAccuracy(_Part):
    """One class: its training images, its accuracy in [0, 1], None without test images."""

    name: str
    train: int
    accuracy: float | None


class Verdict(_Part):
    """Which recipe to use, in words."""

    sentence: str


Intervals = dict[str, Interval]  # metric -> its interval


class ComparisonTable(_Part):
    """Recipes and what they reached; older versions lack what has a default."""

    seeds: int
    first_seed: int = 0
    recipes: dict[str, Intervals] = Field(min_length=1)
    gains: dict[str, Intervals] = {}
    verdict: Verdict | None = None
    per_class: dict[str, list[ClassAccuracy]] = {}
    generated_sha256: str = ""
    generated_folder: str = ""  # if it is not the run's own
    made_from: dict[str, str] = {}
    first_metrics: dict[str, str] = {}  # recipe -> SHA-256 of the metrics of its first seed
