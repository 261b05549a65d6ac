"""Drawing images of tail classes from real ones, with a pretrained model and prompts."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgn.data.augmentation import random_dihedral
from tgn.data.image_set import ImageSet
from tgn.data.prompts import Prompts, read_prompts
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.diffusion.pretrained.model import RECIPE, Recipe, read_recipe, tuned_pipeline
from tgn.generation.diffusion.pretrained.settings import StableSampleSettings
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank, read_bank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.seeds import seed_of

FOLDER = "stable-diffusion"


@dataclass(frozen=True)
class Studio:
    """Everything needed to draw any image of a run."""

    pipeline: Any
    recipe: Recipe
    prompts: Prompts
    images: ImageSet  # the bank's images, in its order
    bank: FeatureBank
    split: Split
    weights_sha256: str
    device: Device

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.recipe.size

    def notes(self, _: GenerateSettings) -> list[str]:
        """What the user should know of drawing so."""
        return [
            f"images drawn with {self.recipe.model} are bound by its licence; read its model card "
            "before they are passed on"
        ]

    def draw_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """Draw block number ``block`` of a class: always whole, so that no byte depends on n."""
        folder, size = self.split.classes[label].folder, settings.block
        rows = self.bank.rows_of(label)
        indices = range(block * size, (block + 1) * size)
        seeds = [seed_of(settings.seed, "image", folder, index) for index in indices]
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        views = [int(torch.randint(self.bank.views, (), generator=draw)) for draw in draws]
        own = self.prompts[label]
        said = [own[int(torch.randint(len(own), (), generator=draw))] for draw in draws]
        sources = torch.stack([rows[index % len(rows)] for index in indices])
        real = self.images.batch(sources).float() / 255
        images_01 = draw_from(
            self.pipeline, random_dihedral(real, torch.tensor(views)), said, draws, settings
        )
        images_u8 = (images_01 * 255).round().clamp(0, 255).to(torch.uint8)
        return images_u8, list(zip(sources.tolist(), seeds, strict=True))


@torch.no_grad()
def draw_from(
    pipeline: Any,
    real_01: Tensor,
    prompts: list[str],
    draws: list[torch.Generator],
    settings: GenerateSettings,
) -> Tensor:
    """Draw images from real ones.

    The noise ratio r is the strength: how far a real image is dissolved before the model draws on.
    One step at least is drawn, also at r = 0.

    Args:
        pipeline: image to image.
        real_01: [B, 3, H, W] in [0, 1].
        prompts: what shall be seen, B of them.
        draws: a CPU generator for each image.
        settings: r, steps, guidance.

    Returns:
        [B, 3, H, W] in [0, 1] on the CPU, float32.
    """
    chosen = StableSampleSettings.model_validate(settings.model_dump())
    strength = max(chosen.noise, 1 / chosen.sampling_steps)
    drawn = pipeline(
        prompt=prompts,
        image=real_01,
        strength=strength,
        num_inference_steps=chosen.sampling_steps,
        guidance_scale=chosen.guidance,
        generator=draws,
        output_type="pt",
    ).images
    return drawn.float().cpu()


def open_studio(run: Run, settings: StableSampleSettings) -> Studio:
    """Load pipeline, bank and sources of a run.

    Raises:
        NotFoundError: if the run has no recipe or no bank; says which command to use.
        UserError: if they come from different tail nets, or the model is not what it was.
    """
    directory = run.path / FOLDER
    recipe, split, bank = read_recipe(directory), run.split(), read_bank(run.path / "kmdn")
    if recipe.tail_net_sha256 != bank.weights_sha256:
        raise UserError("tgn distill has made another feature bank since; run tgn train again")
    device = Device(settings)
    pipeline = tuned_pipeline(directory, recipe).to(device.torch_device)
    everything = split.image_set("train", run.path, recipe.size, 3)
    row_of = {file: row for row, (file, _) in enumerate(split.train)}
    images = everything.subset(torch.tensor([row_of[file] for file in bank.files]))
    prompts = read_prompts(run.path, split)
    sha256 = sha256_of(directory / RECIPE)
    return Studio(pipeline, recipe, prompts, images, bank, split, sha256, device)
