"""The parts of the results of stages that the page shows; older versions lack what has a default.

Those of ``classify compare`` and of ``tgn score`` have models of their own.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class UseRow(_Part):
    """One class: what its images change, and its 95% interval, None where there is none."""

    name: str = Field(alias="class")
    images: int
    gain: float
    low: float | None
    high: float | None
    accuracy_gain: float
    accuracy_low: float | None
    accuracy_high: float | None
    advice: str


def _checked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows as they are, since the template reads those of ``tgn assess`` too."""
    TypeAdapter(list[UseRow]).validate_python(rows)
    return rows


class UseTable(_Part):
    """What the images of each class bring."""

    sentence: str = ""
    statistic: str = ""
    classes: Annotated[list[dict[str, Any]], AfterValidator(_checked)]
    folder: str = ""
    is_of_run: bool = True  # whether the images are the run's own


class Advice(_Part):
    """What would help, in words."""

    sentence: str


class Assessment(_Part):
    """Of ``assess.json``."""

    advice: Advice
    generated: UseTable | None = None
    made_from: dict[str, str] = {}


class Criterion(_Part):
    """One criterion of a filter."""

    dropped: int


class Judge(_Part):
    """A network that judged images."""

    name: str
    trained_against: bool | None = None


class FilterReport(_Part):
    """Of ``filter.json``."""

    kept: int
    tests: dict[str, Criterion]
    judges: dict[str, Judge] = {}
    use: UseTable | None = None
    made_from: dict[str, str] = {}


class GroupAccuracy(_Part):
    """Accuracy in [0, 1], None where no class of the group has test images."""

    head: float | None = None
    tail: float | None = None


class NetAccuracy(_Part):
    """Accuracy of one net."""

    before: GroupAccuracy
    after: GroupAccuracy
    control: GroupAccuracy = GroupAccuracy()


class DistillAccuracy(_Part):
    """Of ``kmdn/accuracy.json``."""

    tail_net: NetAccuracy
    head_net: NetAccuracy
    part: str
    before_means: str
    control_means: str = ""
    made_from: dict[str, str] = {}


class Record(_Part):
    """Of ``<verb>.yaml``."""

    started: str
    settings: dict[str, object]
    versions: dict[str, str]
    python: str
    backend: Literal["cdtg", "diffusion", "stable-diffusion"] = "cdtg"
    tail_net_sha256: str = ""
    split: str = ""


class NearestImage(_Part):
    """The nearest real image of a generated one; the file is relative to the run."""

    real: str
