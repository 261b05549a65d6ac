"""Drawing images of tail classes from a trained painter and the feature bank."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.images import to_u8
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.cdtg.conditional_generator import Painted, Painter
from tgn.generation.cdtg.presets import Architecture
from tgn.generation.cdtg.settings import DrawSettings
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank, read_bank
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.devices import Device
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.files import sha256_of
from tgn.runtime.seeds import seed_of

PIXELS_AT_ONCE = 1 << 19
WEIGHTS, FORMAT = "generator.safetensors", "tgn-cdtg-1"
UNTRAINED = "untrained"  # the fusion of an imported generator


@dataclass(frozen=True)
class Studio:
    """Everything needed to draw any image of a run."""

    painter: Painter
    paint: Callable[..., Painted]  # the painter, compiled if that was asked for
    bank: FeatureBank
    split: Split
    weights_sha256: str
    device: Device
    fusion_is_trained: bool = True
    not_compiled: str = ""  # why it could not be

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.painter.architecture.size

    def notes(self, settings: GenerateSettings) -> list[str]:
        """What the user should know of drawing so."""
        found = []
        if settings.noise < 1 and not self.fusion_is_trained:
            found.append(
                "an imported generator has no trained fusion: below --noise 1 features enter at "
                "random"
            )
        if self.not_compiled:
            found.append(f"drawing without torch.compile, which fails here: {self.not_compiled}")
        return found

    def draw_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """Draw block number ``block`` of a class: always whole, so that no byte depends on n."""
        folder = self.split.classes[label].folder
        size, rows = settings.block, self.bank.rows_of(label)
        indices = range(block * size, (block + 1) * size)
        seeds = [seed_of(settings.seed, "image", folder, index) for index in indices]
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        views = [int(torch.randint(self.bank.views, (), generator=draw)) for draw in draws]
        noise = torch.stack([torch.randn(self.painter.noise_dim, generator=draw) for draw in draws])
        sources = torch.stack([rows[index % len(rows)] for index in indices])
        features = self.bank.features[sources, torch.tensor(views)].float()
        target, pixels = self.device.torch_device, self.painter.architecture.size**2
        some = size if target.type != "cpu" else images_at_once(size, pixels)
        ratio = torch.full((some,), settings.noise, device=target)
        labels = torch.full((some,), label, device=target)
        painted = []
        with torch.inference_mode(), self.device.autocast():
            for part, own in zip(features.split(some), noise.split(some), strict=True):
                images = self.paint(part.to(target), labels, own.to(target), ratio).images
                painted.append(to_u8(images).cpu())
        return torch.cat(painted), list(zip(sources.tolist(), seeds, strict=True))


def save_painter(
    path: Path, painter: Painter, num_classes: int, tail_net_sha256: str, **facts: str
) -> None:
    """Write a painter so that `open_studio` can build it again.

    Args:
        path: of the file.
        painter: with the weights to use.
        num_classes: C.
        tail_net_sha256: of the tail net whose features it reads.
        facts: more to be known of it.
    """
    known = {
        "format": FORMAT,
        "architecture": painter.architecture.model_dump_json(),
        "num_classes": str(num_classes),
        "feature_channels": str(painter.fusion.feature_channels),
        "tail_net_sha256": tail_net_sha256,
    }
    save_weights(path, painter.state_dict(), known | facts)


def open_studio(run: Run, settings: DrawSettings) -> Studio:
    """Load painter and bank of a run.

    Raises:
        NotFoundError: if the run was not trained or its bank is gone; says which command to use.
        UserError: if painter and bank come from different tail nets.
    """
    path = run.path / "cdtg" / WEIGHTS
    if not path.is_file():
        raise NotFoundError(f"no trained generator in {path}; make it with: tgn train")
    device = Device(settings)
    split, bank, facts = run.split(), read_bank(run.path / "kmdn"), read_metadata(path)
    if facts["tail_net_sha256"] != bank.weights_sha256:
        raise UserError(
            "the generator was trained with another tail net than the feature bank's; "
            "run tgn train again after tgn distill"
        )
    numbers = Architecture.model_validate_json(facts["architecture"])
    painter = Painter(numbers, int(facts["num_classes"]), int(facts["feature_channels"]))
    load_strictly(painter, load_weights(path), str(path))
    painter = device.place(painter.eval().requires_grad_(False))
    trained = facts.get("fusion") != UNTRAINED
    studio = Studio(painter, painter, bank, split, sha256_of(path), device, trained)
    return _compiled(studio, settings) if settings.compile else studio


def _compiled(studio: Studio, settings: DrawSettings) -> Studio:
    """Return the studio with a compiled painter that has drawn once, or with the reason why not."""
    # Weights become constants, which lets the compiler lay them out for the processor once.
    fast = replace(studio, paint=torch.compile(studio.painter, options={"freezing": True}))
    label = int(studio.bank.labels[0])
    try:
        fast.draw_block(label, 0, settings)
    except (RuntimeError, OSError) as error:  # no compiler, or one that is too old
        return replace(studio, not_compiled=" ".join(str(error).split())[:120])
    return fast


def images_at_once(block: int, pixels: int) -> int:
    """Return how many images of a block a CPU draws at once: all parts are equally large.

    More would not be faster, and their activations would take gigabytes.
    """
    most = max(PIXELS_AT_ONCE // pixels, 1)
    return next(number for number in range(min(most, block), 0, -1) if block % number == 0)
