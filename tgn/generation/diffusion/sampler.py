"""Sampling of classes with a trained diffusion model and the feature bank."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.augmentation import draw_crops, rotated_crops
from tgn.data.images import to_u8
from tgn.data.prompts import numbers_for_names, read_prompts
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.diffusion.denoiser import Denoiser, load_denoiser
from tgn.generation.diffusion.guidance import GuidanceLoss, clip_loss, tail_net_loss
from tgn.generation.diffusion.reverse_process import Noise, ReverseProcess, Source, sample_from
from tgn.generation.diffusion.settings import DiffusionSampleSettings
from tgn.generation.feature_transfer import check_transfer, conditioning_features
from tgn.generation.sampling_plan import Origin, SamplingPlan, plan_block
from tgn.generation.settings import GenerateSettings
from tgn.generation.source_images import SourceImages
from tgn.generation.tail_net import load_frozen_tail_net
from tgn.models.clip import load_clip
from tgn.models.feature_bank import FeatureBank, read_bank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of

CLIP_REMEDY = "use --set clip=ARCH:/path/to/file, or leave clip_guidance out"


@dataclass(frozen=True)
class DiffusionSampler:
    """A trained denoiser with everything it needs to generate any image of a run."""

    denoiser: Denoiser
    bank: FeatureBank
    images: SourceImages
    split: Split
    weights_sha256: str
    device: Device
    losses: list[tuple[float, GuidanceLoss]]  # that guide, with their strengths

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.denoiser.facts.size

    def notes(self, settings: GenerateSettings) -> list[str]:
        """Return warnings for the user: that CLIP guides by class numbers."""
        guided = DiffusionSampleSettings.of(settings).clip_guidance > 0
        warning = numbers_for_names(self.split.names) if guided else ""
        return [warning] if warning else []

    @torch.inference_mode()
    def sample_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[Origin]]:
        """Generate one block of a class; see `ImageSampler`."""
        chosen, target = DiffusionSampleSettings.of(settings), self.device.torch_device
        plan = plan_block(self.bank, self.split, label, block, settings)
        noise = Noise(*(plan.noise(*s).to(target) for s in self.denoiser.facts.noise_shapes))
        sources = self._sources(plan, chosen.crop)
        features = conditioning_features(self.bank, self.split, label, plan, chosen.transfer)
        images = sample_from(
            self.denoiser,
            Source(sources, features.to(target)),
            noise,
            torch.full((settings.block,), label, device=target),
            ReverseProcess(chosen, self.losses),
            self.device.autocast,
        )
        return to_u8(images).cpu(), plan.origins

    def _sources(self, plan: SamplingPlan, crop: float) -> Tensor:
        """Return the source images as the plan views them, images_pm1 [B, bands, S, S]."""
        images = self.images.of_plan(plan, self.device)
        if crop == 1:
            return images
        numbers = torch.cat([draw_crops(1, own) for own in plan.generators])
        return rotated_crops(images, numbers, crop)


def open_diffusion_sampler(run: Run, settings: DiffusionSampleSettings) -> DiffusionSampler:
    """Load denoiser and feature bank of a run.

    Raises:
        NotFoundError: if the run was not trained or its bank is gone; says which command to use.
        UserError: if denoiser and bank come from different tail nets, there is nothing to transfer,
            or guidance by CLIP has none.
    """
    denoiser, tail_net_sha256 = load_denoiser(run.denoiser)
    split, bank, device = run.split(), read_bank(run.kmdn), Device(settings)
    if tail_net_sha256 != bank.weights_sha256:
        raise UserError(
            "the denoiser was trained with another tail net than the feature bank's; "
            "run tgn train --backend diffusion --no-resume"
        )
    check_transfer(bank, split, settings.transfer)
    images = SourceImages.of(bank, run, denoiser.facts.size, denoiser.facts.bands)
    placed, losses = device.place(denoiser), _guidance_losses(run, settings, device)
    return DiffusionSampler(placed, bank, images, split, sha256_of(run.denoiser), device, losses)


def _guidance_losses(
    run: Run, settings: DiffusionSampleSettings, device: Device
) -> list[tuple[float, GuidanceLoss]]:
    losses: list[tuple[float, GuidanceLoss]] = []
    if settings.tail_guidance:
        frozen_tail_net = load_frozen_tail_net(run, device)
        losses.append((settings.tail_guidance, tail_net_loss(frozen_tail_net)))
    if settings.clip_guidance:
        if settings.clip == "none":
            raise UserError("clip_guidance needs a CLIP: --set clip=arch:tag or clip=arch:/file")
        prompts = read_prompts(run.prompts_file, run.split())
        clip = device.place(load_clip(settings.clip, prompts, CLIP_REMEDY)).freeze()
        losses.append((settings.clip_guidance, clip_loss(clip)))
    return losses
