"""Drawing images of tail classes by diffusion, from the feature bank."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.images import to_u8
from tgn.data.prompts import read_prompts
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.diffusion.denoiser import WEIGHTS, Denoiser, Source, load_denoiser
from tgn.generation.diffusion.guidance import Judge, clip_judge, tail_judge
from tgn.generation.diffusion.sampler import Recipe, draw_images
from tgn.generation.diffusion.settings import SampleSettings
from tgn.generation.feature_noise import VARIATIONS
from tgn.generation.settings import GenerateSettings
from tgn.models.backbones import load_classifier
from tgn.models.clip import load_clip
from tgn.models.feature_bank import FeatureBank, read_bank, tail_net_file
from tgn.models.tail_features import Critic
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.seeds import seed_of


@dataclass(frozen=True)
class Studio:
    """Everything needed to draw any image of a run."""

    denoiser: Denoiser
    bank: FeatureBank
    split: Split
    weights_sha256: str
    device: Device
    judges: list[tuple[float, Judge]]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.denoiser.facts.size

    def notes(self, _: GenerateSettings) -> list[str]:
        """What the user should know of drawing so: nothing."""
        return []

    @torch.inference_mode()
    def draw_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """Draw block number ``block`` of a class: always whole, so that no byte depends on n."""
        folder, facts = self.split.classes[label].folder, self.denoiser.facts
        size, rows, target = settings.block, self.bank.rows_of(label), self.device.torch_device
        indices = range(block * size, (block + 1) * size)
        seeds = [seed_of(settings.seed, "image", folder, index) for index in indices]
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        views = [int(torch.randint(self.bank.views, (), generator=draw)) for draw in draws]
        shapes = (
            (facts.bands, facts.size, facts.size),
            (facts.feature_channels, facts.grid_size, facts.grid_size),
            (VARIATIONS,),
        )
        noise, own, weights = (
            torch.stack([torch.randn(shape, generator=draw) for draw in draws]).to(target)
            for shape in shapes
        )
        chosen = SampleSettings.model_validate(settings.model_dump())
        sources = torch.stack([rows[index % len(rows)] for index in indices])
        features = self.bank.features[sources, torch.tensor(views)].float().to(target)
        labels = torch.full((size,), label, device=target)
        features = self.denoiser.between(features, labels, weights, settings.noise)
        images = draw_images(
            self.denoiser,
            noise,
            Source(features, own, torch.full((size,), chosen.doubt, device=target)),
            labels,
            Recipe(chosen, self.judges),
            self.device.autocast,
        )
        return to_u8(images).cpu(), list(zip(sources.tolist(), seeds, strict=True))


def open_studio(run: Run, settings: SampleSettings) -> Studio:
    """Load denoiser and bank of a run.

    Raises:
        NotFoundError: if the run was not trained or its bank is gone; says which command to use.
        UserError: if denoiser and bank come from different tail nets, or guidance by CLIP has none.
    """
    path = run.path / "diffusion" / WEIGHTS
    denoiser, tail_net_sha256 = load_denoiser(path)
    split, bank, device = run.split(), read_bank(run.path / "kmdn"), Device(settings)
    if tail_net_sha256 != bank.weights_sha256:
        raise UserError(
            "the denoiser was trained with another tail net than the feature bank's; "
            "run tgn train --backend diffusion again after tgn distill"
        )
    placed = device.place(denoiser)
    return Studio(placed, bank, split, sha256_of(path), device, _judges(run, settings, device))


def _judges(run: Run, settings: SampleSettings, device: Device) -> list[tuple[float, Judge]]:
    judges: list[tuple[float, Judge]] = []
    if settings.tail_guidance:
        critic = Critic(device.place(load_classifier(tail_net_file(run.path / "kmdn"))))
        judges.append((settings.tail_guidance, tail_judge(critic)))
    if settings.clip_guidance:
        if settings.clip == "none":
            raise UserError("clip_guidance wants a CLIP: --set clip=arch:tag or clip=arch:/file")
        clip = device.place(load_clip(settings.clip, read_prompts(run.path, run.split()))).freeze()
        judges.append((settings.clip_guidance, clip_judge(clip)))
    return judges
