"""Sampling of tail classes with a trained CDTG generator and the feature bank."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tgn.data.images import to_u8
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.cdtg.checkpoint import load_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, GeneratorOutput, Source
from tgn.generation.cdtg.settings import CdtgSampleSettings
from tgn.generation.sampling_plan import Origin, SamplingPlan, plan_block
from tgn.generation.settings import GenerateSettings
from tgn.generation.source_images import SourceImages
from tgn.models.feature_bank import FeatureBank, read_bank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.files import sha256_of

PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class CdtgSampler:
    """A trained CDTG generator with everything it needs to generate any image of a run."""

    network: ConditionalGenerator
    forward: Callable[..., GeneratorOutput]  # the network, compiled if that was requested
    bank: FeatureBank
    images: SourceImages | None  # None: the network makes nothing of them
    split: Split
    weights_sha256: str
    device: Device
    fusion_is_trained: bool = True
    not_compiled: str = ""  # why it could not be

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.network.architecture.size

    def notes(self, settings: GenerateSettings) -> list[str]:
        """Return warnings for the user about these settings."""
        warnings = []
        if settings.noise < 1 and not self.fusion_is_trained:
            warnings.append(
                "an imported generator has no trained fusion: below --noise 1 its images depend "
                "on the source image in a random way"
            )
        recombination = self.network.recombination
        if settings.noise > 0 and recombination is not None and not recombination.files:
            warnings.append(
                "this generator was trained by an older version and does not name the real images "
                "that it mixes in: scores cannot leave them out; train anew: tgn train --no-resume"
            )
        if self.not_compiled:
            warnings.append(f"not compiled, since torch.compile fails here: {self.not_compiled}")
        return warnings

    def sample_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[Origin]]:
        """Generate one block of a class; see `ImageSampler`."""
        plan = plan_block(self.bank, self.split, label, block, settings)
        target, part = self.device.torch_device, settings.block
        if target.type == "cpu":
            part = images_at_once(part, self.size**2)
        given = (
            self._sources(plan),
            self.bank.features[plan.sources, plan.views].float().to(target),
            plan.noise(self.network.noise_dim).to(target),
        )
        ratio = torch.full((part,), settings.noise, device=target)
        labels = torch.full((part,), label, device=target)
        images_u8 = []
        with torch.inference_mode(), self.device.autocast():
            for real, features, noise in zip(*(each.split(part) for each in given), strict=True):
                output = self.forward(Source(features, real), labels, noise, ratio)
                images_u8.append(to_u8(output.images).cpu())
        return torch.cat(images_u8), self._origins(plan, label, given[-1], settings.noise)

    def _origins(self, plan: SamplingPlan, label: int, noise: Tensor, ratio: float) -> list[Origin]:
        """Return what each image is made from, with the images that are mixed into it."""
        labels, ratios = (
            torch.full_like(noise[:, 0], label).long(),
            torch.full_like(noise[:, 0], ratio),
        )
        mixed = self.network.files_within(labels, noise, ratios)
        return [
            origin._replace(others=tuple(f for f in files if f != self.bank.files[origin.source]))
            for origin, files in zip(plan.origins, mixed, strict=True)
        ]

    def _sources(self, plan: SamplingPlan) -> Tensor:
        if self.images is not None:
            return self.images.of_plan(plan, self.device)
        numbers = self.network.architecture
        shape = len(plan.seeds), numbers.bands, numbers.size, numbers.size
        return torch.zeros(shape, device=self.device.torch_device)


def open_cdtg_sampler(run: Run, settings: CdtgSampleSettings) -> CdtgSampler:
    """Load generator and feature bank of a run.

    Raises:
        NotFoundError: if the run was not trained or its bank is gone; says which command to use.
        UserError: if generator and bank come from different tail nets.
    """
    path = run.cdtg_generator
    network, facts = load_conditional_generator(path)
    device, split, bank = Device(settings), run.split(), read_bank(run.kmdn)
    if facts.tail_net_sha256 != bank.weights_sha256:
        raise UserError(
            "the generator was trained with another tail net than the feature bank's; "
            "run tgn train --no-resume"
        )
    numbers, network = network.architecture, device.place(network)
    images = None
    if numbers.recombines:
        images = SourceImages.of(bank, run, numbers.size, numbers.bands)
    trained, sha256 = facts.fusion_is_trained, sha256_of(path)
    sampler = CdtgSampler(network, network, bank, images, split, sha256, device, trained)
    return _compiled(sampler, settings) if settings.compile else sampler


def _compiled(sampler: CdtgSampler, settings: CdtgSampleSettings) -> CdtgSampler:
    """Return the sampler with a compiled network that has run once, or with the reason why not."""
    # Weights become constants, which lets the compiler lay them out for the processor once.
    fast = replace(sampler, forward=torch.compile(sampler.network, options={"freezing": True}))
    label = int(sampler.bank.labels[0])
    try:
        fast.sample_block(label, 0, settings)
    except (RuntimeError, OSError) as error:  # no compiler, or one that is too old
        return replace(sampler, not_compiled=" ".join(str(error).split())[:120])
    return fast


def images_at_once(block: int, pixels: int) -> int:
    """Return how many images of a block a CPU computes at once: all parts are equally large.

    More would not be faster, and their activations would take gigabytes.

    Args:
        block: images in the block.
        pixels: of one image.
    """
    most = max(PIXELS_AT_ONCE // pixels, 1)
    return next(number for number in range(min(most, block), 0, -1) if block % number == 0)
