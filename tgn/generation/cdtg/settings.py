"""Settings of training CDTG and of sampling from it; imports nothing heavy."""

from pydantic import Field

from tgn.generation.settings import GeneratorTrainSettings, TransferSettings
from tgn.runtime.bounds import LearningRate, Share, Steps, Weight, Width


class CdtgTrainSettings(GeneratorTrainSettings):
    """Settings of ``tgn train`` with CDTG."""

    steps: Steps = Field(300, description="optimisation steps of the generator")
    grid_every: Steps = Field(100, description="steps between sample grids and collapse checks")
    save_every: Steps = Field(100, description="steps between checkpoints")
    batch_size: int = Field(32, ge=4, le=16_384, description="images a step, over all processes")
    width: Width = Field(96, description="channels at 16 x 16 positions")
    start: str = Field("", description="imported (by tgn import), or the file of a generator")
    clip: str = Field("tiny", description="tiny, none, arch:tag or arch:/file")
    clip_steps: Steps = Field(250, description="training steps of clip=tiny")
    lr: LearningRate = Field(0.001, description="learning rate of the generator (Adam)")
    discriminator_lr: LearningRate = Field(0.001, description="of the discriminator (Adam)")
    adversarial_weight: Weight = Field(1.0, description="weight of the adversarial loss")
    class_weight: Weight = Field(0.02, description="weight of the tail net's cross-entropy")
    clip_weight: Weight = Field(0.02, description="weight of the CLIP cross-entropy")
    diversity_weight: Weight = Field(0.5, description="weight of the diversity loss")
    source_weight: Weight = Field(
        5.0, description="weight of the distance to what was recombined, or to the source"
    )
    path_weight: Weight = Field(2.0, description="weight of path length regularisation")
    path_every: Steps = Field(16, description="steps between path length penalties")


class CdtgSampleSettings(TransferSettings):
    """Settings of ``tgn generate`` with CDTG."""

    noise: Share = Field(0.7, description="r: 0 reproduces the source image, 1 ignores it")
    compile: bool = Field(
        False, description="torch.compile: faster after half a minute, needs a C++ compiler on CPUs"
    )

    def _own_settings(self) -> set[str]:
        """Leave compiling out: it changes a pixel by one level here and there."""
        return super()._own_settings() - {"compile"}
