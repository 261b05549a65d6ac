"""Settings of training CDTG and of sampling from it; imports nothing heavy."""

from pydantic import Field

from tgn.generation.settings import GeneratorTrainSettings, TransferSettings


class CdtgTrainSettings(GeneratorTrainSettings):
    """Settings of ``tgn train`` with CDTG."""

    steps: int = Field(300, ge=1, description="optimisation steps of the generator")
    grid_every: int = Field(100, ge=1, description="steps between sample grids and collapse checks")
    save_every: int = Field(100, ge=1, description="steps between checkpoints")
    batch_size: int = Field(32, ge=4, description="images a step, over all processes")
    width: int = Field(96, ge=16, multiple_of=16, description="channels at 16 x 16 positions")
    start: str = Field("", description="imported (by tgn import), or the file of a generator")
    clip: str = Field("tiny", description="tiny, none, arch:tag or arch:/file")
    clip_steps: int = Field(250, ge=1, description="training steps of clip=tiny")
    lr: float = Field(0.001, gt=0, description="learning rate of the generator (Adam)")
    discriminator_lr: float = Field(0.001, gt=0, description="of the discriminator (Adam)")
    adversarial_weight: float = Field(1.0, ge=0, description="weight of the adversarial loss")
    class_weight: float = Field(0.02, ge=0, description="weight of the tail net's cross-entropy")
    clip_weight: float = Field(0.02, ge=0, description="weight of the CLIP cross-entropy")
    diversity_weight: float = Field(0.5, ge=0, description="weight of the diversity loss")
    source_weight: float = Field(
        5.0, ge=0, description="weight of the distance to what was recombined, or to the source"
    )
    path_weight: float = Field(2.0, ge=0, description="weight of path length regularisation")
    path_every: int = Field(16, ge=1, description="steps between path length penalties")


class CdtgSampleSettings(TransferSettings):
    """Settings of ``tgn generate`` with CDTG."""

    noise: float = Field(
        0.7, ge=0, le=1, description="r: 0 reproduces the source image, 1 ignores it"
    )
    compile: bool = Field(
        False, description="torch.compile: faster after half a minute, needs a C++ compiler on CPUs"
    )

    def _own_settings(self) -> set[str]:
        """Leave compiling out: it changes a pixel by one level here and there."""
        return super()._own_settings() - {"compile"}
