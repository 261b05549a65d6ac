"""Drawing images of tail classes from a trained painter and the feature bank."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.cdtg.painter import Painter
from tgn.cdtg.presets import Architecture
from tgn.cdtg.settings import GenerateSettings
from tgn.core.bank import FeatureBank, read_bank
from tgn.core.checkpoints import load_strictly, load_weights, read_metadata
from tgn.core.devices import Device
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import sha256_of
from tgn.core.images import to_u8
from tgn.core.runs import Run
from tgn.core.seeds import seed_of
from tgn.core.split import Split

WEIGHTS, FORMAT = "generator.safetensors", "tgn-cdtg-1"
UNTRAINED = "untrained"  # the fusion of an imported generator


@dataclass(frozen=True)
class Studio:
    """Everything needed to draw any image of a run."""

    painter: Painter
    bank: FeatureBank
    split: Split
    weights_sha256: str
    device: Device
    fusion_is_trained: bool = True


def open_studio(run: Run, settings: GenerateSettings) -> Studio:
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
    return Studio(painter, bank, split, sha256_of(path), device, trained)


def draw_block(
    studio: Studio, label: int, block: int, settings: GenerateSettings
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Draw block number ``block`` of a class: always whole, so that its bytes never depend on n.

    Returns:
        images_u8 [K, bands, H, W] of images K * block to K * block + K - 1 of the class, and for
        each its (bank row, seed). Image i depends only on (seed, class folder, i).
    """
    folder = studio.split.classes[label].folder
    size, rows = settings.block, studio.bank.rows_of(label)
    indices = range(block * size, (block + 1) * size)
    seeds = [seed_of(settings.seed, "image", folder, index) for index in indices]
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    views = [int(torch.randint(studio.bank.views, (), generator=draw)) for draw in draws]
    noise = torch.stack([torch.randn(studio.painter.noise_dim, generator=draw) for draw in draws])
    sources = torch.stack([rows[index % len(rows)] for index in indices])
    features = studio.bank.features[sources, torch.tensor(views)].float()
    target = studio.device.torch_device
    ratio = torch.full((size,), settings.noise, device=target)
    labels = torch.full((size,), label, device=target)
    with torch.inference_mode(), studio.device.autocast():
        painted = studio.painter(features.to(target), labels, noise.to(target), ratio)
    return to_u8(painted.images).cpu(), list(zip(sources.tolist(), seeds, strict=True))
