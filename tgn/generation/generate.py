"""The stage ``tgn generate``: finds which images are missing, generates and writes them."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tgn.data.batches import Prefetcher
from tgn.data.images import encode_image
from tgn.data.manifest import ManifestRow, ManifestWriter
from tgn.data.runs import Run
from tgn.data.split import Split, filling_up
from tgn.generation.image_writer import EncodedImage, ImageWriter, format_of, image_writer_for
from tgn.generation.present_images import present_images
from tgn.generation.sampling_plan import Origin, image_seed
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.locks import exclusive_writer
from tgn.runtime.pace import Pace
from tgn.runtime.progress import Progress, Silent

ENCODE_THREADS = 4
FILTER_ENDED = (
    "{folder} was filtered, by tgn filter or by hand; that was of other images and ended: all are "
    "used until tgn filter runs again"
)


class ImageSampler(Protocol):
    """A trained generator with everything it needs to generate any image of a run."""

    @property
    def split(self) -> Split:
        """Classes and their order."""

    @property
    def bank(self) -> FeatureBank:
        """Features of the source images."""

    @property
    def device(self) -> Device:
        """Where images are computed."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the generator's file."""

    @property
    def size(self) -> int:
        """Side of the images in pixels."""

    def notes(self, settings: GenerateSettings) -> list[str]:
        """Return warnings for the user about these settings."""

    def sample_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[Origin]]:
        """Generate images K b to K b + K - 1 of a class, K being ``settings.block``.

        Args:
            label: class index.
            block: b, from 0.
            settings: K, the noise ratio, the seed and what the backend adds.

        Returns:
            images_u8 [K, bands, H, W] and what each was made from. Image i depends only on (seed,
            class folder, i), its last bits also on K.
        """


@dataclass(frozen=True)
class GenerationRequest:
    """Which images to generate.

    Attributes:
        classes: class indices.
        out: folder to write.
        settings: how many images a class, and how they are generated.
        repair: generate images anew whose files are not what was written.
    """

    classes: tuple[int, ...]
    out: Path
    settings: GenerateSettings
    repair: bool = False


class WorkItem(NamedTuple):
    """Images of one class that one process generates and writes together."""

    label: int
    indices: Sequence[int]  # of the images that are missing


class SampledImages(NamedTuple):
    """The images of a work item."""

    images_u8: Tensor  # [K, bands, H, W]
    origins: list[Origin]  # of each
    noise: list[float]  # r of each
    how: str  # the backend's own settings, as JSON


def generate_images(
    run: Run,
    sampler: ImageSampler,
    request: GenerationRequest,
    progress: Progress,
    resume: bool = True,
) -> dict[str, int]:
    """Generate images into ``request.out`` and add their rows to its manifest.

    Images that are there already, generated with the same settings, are kept; of those whose files
    are gone or not what was written, a warning says so.

    Args:
        run: whose record says what was generated.
        sampler: generates the images.
        request: which images.
        progress: gets warnings and the count of images.
        resume: False deletes the images of these classes first.

    Returns:
        Class folder -> number of its images that are there now, whole.

    Raises:
        UserError: if the folder holds images of the class generated with other settings, or
            another process writes there.
    """
    with exclusive_writer(request.out) if sampler.device.is_main else nullcontext():
        return _generate(run, sampler, request, progress, resume)


def _generate(
    run: Run, sampler: ImageSampler, request: GenerationRequest, progress: Progress, resume: bool
) -> dict[str, int]:
    device, settings = sampler.device, request.settings
    totals = numbers_of_images(sampler.split, request.classes, settings.n)
    folders = {label: sampler.split.classes[label].folder for label in totals}
    manifest = ManifestWriter(request.out, device.rank)
    ends_filter = not resume and device.is_main and manifest.forget(list(folders.values()))
    device.wait()
    writer = image_writer_for(request.out, settings)
    listed = _with_these_settings(manifest.listed(), sampler, request, folders.values())
    found = present_images(request.out, listed)
    absent = {k: found.absent(folders[k], totals[k], request.repair) for k in totals}
    items = _items(absent, totals, writer)
    if device.is_main:
        run.record("generate", settings, classes=list(folders.values()))
    progress = progress if device.is_main else Silent()
    for note in sampler.notes(settings.at_ratio(min(settings.ratios))):
        progress.warn(note)
    total, missing = sum(totals.values()), sum(len(item.indices) for item in items)
    progress.start("generate", total, total - missing)
    own_items = items[device.rank :: device.processes]
    _write_items(sampler, settings, own_items, (writer, manifest), progress)
    device.wait()
    if device.is_main:
        ends_filter |= manifest.finish()
    if ends_filter:
        progress.warn(FILTER_ENDED.format(folder=request.out))
    for item in items:
        found.drawn(folders[item.label], item.indices)
    for warning in found.warnings(request.out):
        progress.warn(warning)
    return {folders[k]: found.count(folders[k], total) for k, total in totals.items()}


def _write_items(
    sampler: ImageSampler,
    settings: GenerateSettings,
    items: Sequence[WorkItem],
    writers: tuple[ImageWriter, ManifestWriter],
    progress: Progress,
) -> None:
    """Generate and write the work items of this process."""
    (writer, manifest), device = writers, sampler.device
    left, done, pace = sum(len(item.indices) for item in items), 0, Pace(progress, "images")
    pace.reached(done, left)
    sampled = Prefetcher(
        lambda place: _sample(sampler, settings, items[place]), len(items), in_thread=device.is_gpu
    )
    with ThreadPoolExecutor(ENCODE_THREADS) as pool:
        for place, item in enumerate(items):
            images = _encoded(sampler, item, sampled(place), writer, pool)
            names = writer.write(sampler.split.classes[item.label].folder, images, pool)
            named = zip(names, images, strict=True)
            manifest.append([ManifestRow(file=name, **image.facts) for name, image in named])
            progress.advance(len(images) * device.processes)
            done += len(images)
            pace.reached(done, left)


def numbers_of_images(
    split: Split, classes: Iterable[int], requested: int | None
) -> dict[int, int]:
    """Return how many images to generate of each class: as requested, else see `filling_up`."""
    default = filling_up(split.counts, split.num_head)
    return {label: requested or max(default[label], 1) for label in classes}


def _with_these_settings(
    rows: Iterable[ManifestRow],
    sampler: ImageSampler,
    request: GenerationRequest,
    folders: Collection[str],
) -> Iterator[ManifestRow]:
    for row in rows:
        if row.folder in folders:
            _require_same_settings(row, sampler, request)
        yield row


def _require_same_settings(
    row: ManifestRow, sampler: ImageSampler, request: GenerationRequest
) -> None:
    """Refuse to mix images that were generated with different settings into one folder."""
    settings, ratios = request.settings, request.settings.ratios
    expected = (
        sampler.weights_sha256,
        ratios[row.index % len(ratios)],
        image_seed(settings.seed, row.folder, row.index // len(ratios)),
        settings.format,
    )
    recorded = (row.weights_sha256, row.noise, row.seed, format_of(row.file))
    if recorded != expected or not settings.is_recorded_as(row.how):
        raise UserError(
            f"{request.out} holds images of {row.folder!r} generated with other weights, noise, "
            "seed, format or settings; replace them with --no-resume, or give another folder: "
            "--out DIR"
        )


def _items(
    absent: Mapping[int, Sequence[int]], totals: Mapping[int, int], writer: ImageWriter
) -> list[WorkItem]:
    """Return the work items that lack an image; a shard is written whole, or left alone."""
    items = []
    for label, numbers in absent.items():
        chunks: dict[int, list[int]] = {}
        for index in numbers:
            chunks.setdefault(index // writer.chunk_size, []).append(index)
        for chunk, lacking in chunks.items():
            first = chunk * writer.chunk_size
            whole = range(first, min(first + writer.chunk_size, totals[label]))
            items.append(WorkItem(label, whole if writer.rewrites_chunks else lacking))
    return items


def _sample(sampler: ImageSampler, settings: GenerateSettings, item: WorkItem) -> SampledImages:
    """Generate the blocks of a work item at each noise ratio and pick its images."""
    ratios, order, images = settings.ratios, [], []
    origins: list[Origin] = []
    for number, ratio in enumerate(ratios):
        own = [index for index in item.indices if index % len(ratios) == number]
        if not own:
            continue
        draws = [index // len(ratios) for index in own]
        some, known = _sample_draws(sampler, settings.at_ratio(ratio), item.label, draws)
        order += own
        images.append(some)
        origins += known
    place_of = {index: place for place, index in enumerate(order)}
    places = [place_of[index] for index in item.indices]
    noise = [ratios[index % len(ratios)] for index in item.indices]
    picked = [origins[place] for place in places]
    return SampledImages(torch.cat(images)[places], picked, noise, settings.how)


def _sample_draws(
    sampler: ImageSampler, settings: GenerateSettings, label: int, draws: Sequence[int]
) -> tuple[Tensor, list[Origin]]:
    """Return the images of some draws of a class, [n, bands, H, W], and the origin of each."""
    sampled = {
        block: sampler.sample_block(label, block, settings)
        for block in sorted({draw // settings.block for draw in draws})
    }
    places = [divmod(draw, settings.block) for draw in draws]
    images_u8 = [sampled[block][0][row] for block, row in places]
    return torch.stack(images_u8), [sampled[block][1][row] for block, row in places]


def _encoded(
    sampler: ImageSampler,
    item: WorkItem,
    sampled: SampledImages,
    writer: ImageWriter,
    pool: Executor,
) -> list[EncodedImage]:
    """Encode the images of a work item, each with the facts of its row in the manifest."""

    def encode(place: int) -> EncodedImage:
        source, seed, others, view = sampled.origins[place]
        data = encode_image(sampled.images_u8[place], writer.encoding)
        facts = {
            "folder": sampler.split.classes[item.label].folder,
            "class_index": item.label,
            "index": item.indices[place],
            "seed": seed,
            "noise": sampled.noise[place],
            "how": sampled.how,
            "source": source,
            "source_file": sampler.bank.file_of(source),
            "other_files": others,
            "view": view,
            "weights_sha256": sampler.weights_sha256,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        return EncodedImage(item.indices[place], data, facts)

    return list(pool.map(encode, range(len(item.indices))))
