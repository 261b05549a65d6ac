"""Sampling of classes with a pretrained model: from real images, or from learned words alone."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from tgn.data.augmentation import random_dihedral
from tgn.data.image_set import ImageSet
from tgn.data.prompts import Prompts, read_prompts
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.diffusion.pretrained.cost import sampling_cost
from tgn.generation.diffusion.pretrained.learned_words import prompts_with_words
from tgn.generation.diffusion.pretrained.model import (
    PretrainedModelRecord,
    adapted_pipeline,
    read_record,
    train_command,
)
from tgn.generation.diffusion.pretrained.settings import PretrainedSampleSettings
from tgn.generation.sampling_plan import NO_SOURCE, Origin, plan_block
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

    def notes(self, settings: GenerateSettings) -> list[str]:
        """Return warnings for the user about these settings, and what memory they take."""
        chosen = PretrainedSampleSettings.of(settings)
        return [
            f"images generated with {self.record.model} are subject to its licence; read its model "
            "card before you share them",
            sampling_cost(chosen, self.record.model, self.size),
        ]

    def sample_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[Origin]]:
        """Generate one block of a class; see `ImageSampler`."""
        plan = plan_block(self.bank, self.split, label, block, settings)
        prompts = plan.choose(self.prompts[label])
        chosen = PretrainedSampleSettings.of(settings)
        from_words = bool(self.record.vectors) and chosen.noise == 1
        with self.device.autocast():
            if from_words:
                images_01 = text_to_image(
                    self.pipeline, self.size, prompts, plan.generators, chosen
                )
            else:
                real = random_dihedral(self.images.batch(plan.sources).float() / 255, plan.views)
                images_01 = image_to_image(self.pipeline, real, prompts, plan.generators, chosen)
        images_u8 = (images_01 * 255).round().clamp(0, 255).to(torch.uint8)
        sourceless = [Origin(NO_SOURCE, seed) for seed in plan.seeds]
        return images_u8, sourceless if from_words else plan.origins


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


@torch.no_grad()
def text_to_image(
    pipeline: Any,
    size: int,
    prompts: list[str],
    generators: list[torch.Generator],
    settings: PretrainedSampleSettings,
) -> Tensor:
    """Generate images from noise and prompts alone.

    Args:
        pipeline: image to image; its networks are used.
        size: side in pixels, a multiple of 8.
        prompts: one for each image.
        generators: of each image, on the CPU.
        settings: steps, guidance.

    Returns:
        [B, 3, size, size] in [0, 1] on the CPU, float32.
    """
    build: Any = StableDiffusionPipeline
    from_text = build(**pipeline.components, requires_safety_checker=False)
    from_text.set_progress_bar_config(disable=True)
    images = from_text(
        prompt=prompts,
        height=size,
        width=size,
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
    if settings.recipe == "fill-up" and not record.vectors:
        raise UserError(
            "recipe=fill-up draws from learned words, which this run has not; run tgn train "
            f"--backend stable-diffusion --model {record.model} --set recipe=fill-up --no-resume"
        )
    device = Device(settings)
    pipeline = adapted_pipeline(run, record, split).to(device.torch_device)
    training_images = split.image_set("train", run.path, record.size, 3)
    row_of = {file: row for row, (file, _) in enumerate(split.train)}
    images = training_images.subset(torch.tensor([row_of[file] for file in bank.files]))
    prompts: Prompts = read_prompts(run.prompts_file, split)
    if record.vectors:
        prompts = prompts_with_words(run.prompts_file, split, record.vectors)
    sha256 = sha256_of(run.pretrained_record)
    return PretrainedSampler(pipeline, record, prompts, images, bank, split, sha256, device)
