"""What a number was computed with, so that it can be computed again."""

from pydantic import BaseModel, ConfigDict


class Provenance(BaseModel):
    """Which network was used: figures of different networks or resize rules do not compare."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dimension: int | None  # D; None for a distance
    weights_sha256: str
    resize: str
    seen: str | None = None  # of a classifier: whether it was trained on the source images
