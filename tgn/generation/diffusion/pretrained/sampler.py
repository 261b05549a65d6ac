"""Sampling of classes from real images, with a pretrained model and prompts."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgn.data.augmentation import random_dihedral
from tgn.data.image_set import ImageSet
from tgn.data.prompts import Prompts, read_prompts
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.diffusion.pretrained.model import (
    PretrainedModelRecord,
    adapted_pipeline,
    read_record,
    train_command,
)
from tgn.generation.diffusion.pretrained.settings import PretrainedSampleSettings
from tgn.generation.sampling_plan import Origin, plan_block
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank, read_bank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of


@dataclass(frozen=True)
class PretrainedSampler:
    """A pretrained pipeline with everything it needs to generate any image of a run."""

    pipeline: Any
    record: PretrainedModelRecord
    prompts: Prompts
    images: ImageSet  # the bank's images, in its order
    bank: FeatureBank
    split: Split
    weights_sha256: str
    device: Device

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.record.size

    def notes(self, _: GenerateSettings) -> list[str]:
        """Return warnings for the user about these settings."""
        return [
            f"images generated with {self.record.model} are subject to its licence; read its model "
            "card before you share them"
        ]

    def sample_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[Origin]]:
        """Generate one block of a class; see `ImageSampler`."""
        plan = plan_block(self.bank, self.split, label, block, settings)
        prompts = plan.choose(self.prompts[label])
        real = random_dihedral(self.images.batch(plan.sources).float() / 255, plan.views)
        chosen = PretrainedSampleSettings.of(settings)
        with self.device.autocast():
            images_01 = image_to_image(self.pipeline, real, prompts, plan.generators, chosen)
        images_u8 = (images_01 * 255).round().clamp(0, 255).to(torch.uint8)
        return images_u8, plan.origins


@torch.no_grad()
def image_to_image(
    pipeline: Any,
    real_01: Tensor,
    prompts: list[str],
    generators: list[torch.Generator],
    settings: PretrainedSampleSettings,
) -> Tensor:
    """Generate images from real ones.

    The noise ratio r is the strength of the pipeline: the share of its steps that is run, from a
    real image with that much noise. At least one step is run, also at r = 0.

    Args:
        pipeline: image to image.
        real_01: [B, 3, H, W] in [0, 1].
        prompts: one for each image.
        generators: of each image, on the CPU.
        settings: r, steps, guidance.

    Returns:
        [B, 3, H, W] in [0, 1] on the CPU, float32.
    """
    strength = max(settings.noise, 1 / settings.sampling_steps)
    images = pipeline(
        prompt=prompts,
        image=real_01,
        strength=strength,
        num_inference_steps=settings.sampling_steps,
        guidance_scale=settings.guidance,
        generator=generators,
        output_type="pt",
    ).images
    return images.float().cpu()


def open_pretrained_sampler(run: Run, settings: PretrainedSampleSettings) -> PretrainedSampler:
    """Load pipeline, feature bank and source images of a run.

    Raises:
        NotFoundError: if the run has no pretrained model or no bank; says which command to use.
        UserError: if they come from different tail nets, or the model has changed.
    """
    record, split, bank = read_record(run), run.split(), read_bank(run.kmdn)
    if record.tail_net_sha256 != bank.weights_sha256:
        raise UserError(
            f"tgn distill has made another feature bank since; run {train_command(record)}"
        )
    device = Device(settings)
    pipeline = adapted_pipeline(run, record).to(device.torch_device)
    training_images = split.image_set("train", run.path, record.size, 3)
    row_of = {file: row for row, (file, _) in enumerate(split.train)}
    images = training_images.subset(torch.tensor([row_of[file] for file in bank.files]))
    prompts = read_prompts(run.prompts_file, split)
    sha256 = sha256_of(run.pretrained_record)
    return PretrainedSampler(pipeline, record, prompts, images, bank, split, sha256, device)
