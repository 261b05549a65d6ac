"""Provenance of a metric: the network and weights it was computed with, what they have seen."""

from pydantic import BaseModel, ConfigDict


class Provenance(BaseModel):
    """Which network was used; metrics of different networks or resize rules are not comparable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dimension: int | None  # D of its features; None for a distance
    weights_sha256: str
    resize: str  # how images are resized to its input, in words
    seen: str | None = None  # whether the source images were in its training data, in words
    trained_against: bool | None = None  # whether a loss of the generator used it; None: unknown
