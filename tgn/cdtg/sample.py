"""Drawing images of tail classes from a trained painter and the feature bank."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tgn.cdtg.painter import Painter
from tgn.cdtg.presets import Architecture
from tgn.cdtg.settings import GenerateSettings
from tgn.core.bank import FeatureBank, read_bank
from tgn.core.checkpoints import load_strictly, load_weights, read_metadata
from tgn.core.devices import Device
from tgn.core.errors import NotFoundError, UserError
from tgn.core.files import sha256_of, write_bytes
from tgn.core.images import encode_image, to_u8
from tgn.core.locks import only_writer
from tgn.core.manifest import ManifestRow, ManifestWriter
from tgn.core.progress import Progress, Silent
from tgn.core.runs import Run
from tgn.core.seeds import seed_of
from tgn.core.split import Split

ENCODE_THREADS = 4
WEIGHTS, FORMAT = "generator.safetensors", "tgn-cdtg-1"
UNTRAINED = "untrained"  # the fusion of an imported generator


@dataclass(frozen=True)
class Request:
    """Images wanted: class indices, where they go, how they are drawn."""

    classes: tuple[int, ...]
    out: Path
    settings: GenerateSettings


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


def generate(run: Run, request: Request, progress: Progress, resume: bool = True) -> dict[str, int]:
    """Draw images into ``request.out`` and their lines into its manifest.

    Whole images that are there already, drawn alike, are kept and not drawn again.

    Returns:
        Class folder -> number of its images that are there now.

    Raises:
        UserError: if the folder holds images of the class drawn in another way, or another
            process writes there.
    """
    studio = open_studio(run, request.settings)
    with only_writer(request.out) if studio.device.is_main else nullcontext():
        return _generate(run, studio, request, progress, resume)


def _generate(
    run: Run, studio: Studio, request: Request, progress: Progress, resume: bool
) -> dict[str, int]:
    device = studio.device
    wanted = {label: _number(studio.split, label, request.settings.n) for label in request.classes}
    writer = ManifestWriter(request.out, device.rank)
    folders = [studio.split.classes[label].folder for label in request.classes]
    if not resume and device.is_main:
        writer.forget(folders)
    device.wait()
    have = writer.rows()
    _require_alike(have.values(), studio, request, folders)
    if device.is_main:
        run.record("generate", request.settings, classes=folders)
    done = sum(row.folder in folders for row in have.values())
    teller = progress if device.is_main else Silent()
    if request.settings.noise < 1 and not studio.fusion_is_trained:
        teller.warn(
            "an imported generator has no trained fusion: below --noise 1 features enter at random"
        )
    teller.start("generate", sum(wanted.values()), min(done, sum(wanted.values())))
    with ThreadPoolExecutor(ENCODE_THREADS) as pool:
        for number, (label, block) in enumerate(_blocks(wanted, request.settings.block)):
            if number % device.processes == device.rank:
                rows = _write_block(studio, request, (label, block, wanted[label]), have, pool)
                writer.append(rows)
                teller.advance(len(rows) * device.processes)
    device.wait()
    if device.is_main:
        writer.finish()
    return {studio.split.classes[label].folder: count for label, count in wanted.items()}


def _number(split: Split, label: int, asked: int | None) -> int:
    """Return how many images to draw: as asked, else what fills the class up to the largest."""
    return asked or max(max(split.counts) - split.counts[label], 1)


def _blocks(wanted: dict[int, int], size: int) -> Iterator[tuple[int, int]]:
    for label, count in wanted.items():
        for block in range(-(-count // size)):
            yield label, block


def _write_block(
    studio: Studio,
    request: Request,
    place: tuple[int, int, int],
    have: dict[str, ManifestRow],
    pool: ThreadPoolExecutor,
) -> list[ManifestRow]:
    """Draw and write the images of one block that are not there; return their lines."""
    label, block, count = place
    settings, folder = request.settings, studio.split.classes[label].folder
    indices = range(block * settings.block, min((block + 1) * settings.block, count))
    suffix = "png" if settings.format == "png" else "jpg"
    names = {index: f"{folder}/{index:06d}.{suffix}" for index in indices}
    missing = [i for i in indices if names[i] not in have]
    if not missing:
        return []
    images_u8, origins = draw_block(studio, label, block, settings)

    def write(index: int) -> ManifestRow:
        place = index - block * settings.block
        source, seed = origins[place]
        path = request.out / names[index]
        write_bytes(path, encode_image(images_u8[place], settings.format))
        return ManifestRow(
            file=names[index],
            folder=folder,
            class_index=label,
            index=index,
            seed=seed,
            noise=settings.noise,
            source=source,
            source_file=studio.bank.files[source],
            weights_sha256=studio.weights_sha256,
            sha256=sha256_of(path),
        )

    return list(pool.map(write, missing))


def _require_alike(
    rows: Iterable[ManifestRow], studio: Studio, request: Request, folders: list[str]
) -> None:
    """Refuse to mix images of other weights, noise or seed into one folder."""
    settings = request.settings
    for row in rows:
        if row.folder not in folders:
            continue
        expected = seed_of(settings.seed, "image", row.folder, row.index)
        if (row.weights_sha256, row.noise, row.seed) != (
            studio.weights_sha256,
            settings.noise,
            expected,
        ):
            raise UserError(
                f"{request.out} holds images of {row.folder!r} drawn with other weights, noise or "
                "seed; replace them with --no-resume, or give another folder with --out DIR"
            )
