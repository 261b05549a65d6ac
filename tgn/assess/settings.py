"""Settings of ``tgn assess``; imports nothing heavy."""

from pydantic import Field

from tgn.probe.settings import SymmetrySettings
from tgn.runtime.bounds import InnerShare, Rounds, Seed
from tgn.runtime.settings import DeviceSettings


class AssessSettings(DeviceSettings, SymmetrySettings):
    """Settings of ``tgn assess``; it computes in float32."""

    neighbours: Rounds = Field(10, description="nearest images that are asked for a label")
    repeats: int = Field(
        5, ge=2, le=1000, description="random choices of images a point of the curve"
    )
    worthwhile: InnerShare = Field(
        0.03, description="gain of rare classes by 4 times their images: collect"
    )
    relabel: InnerShare = Field(0.03, description="share of doubtful labels: relabel first")
    clip: str | None = Field(
        None, description="arch:tag or arch:/file: its accuracy is shown, too, without training"
    )
    seed: Seed = Field(0, description="of random choices and intervals")
