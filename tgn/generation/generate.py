"""The stage ``tgn generate``: which images are wanted, which are there, and the rest drawn."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tgn.data.batches import Ahead
from tgn.data.images import encode_image
from tgn.data.manifest import ManifestRow, ManifestWriter
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.image_writer import Picture, Store, format_of, store_for
from tgn.generation.settings import GenerateSettings
from tgn.models.feature_bank import FeatureBank
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.locks import only_writer
from tgn.runtime.progress import Progress, Silent
from tgn.runtime.seeds import seed_of

ENCODE_THREADS = 4


class Studio(Protocol):
    """Everything needed to draw any image of a run, whatever draws."""

    @property
    def split(self) -> Split:
        """Classes and their order."""

    @property
    def bank(self) -> FeatureBank:
        """Where drawings come from."""

    @property
    def device(self) -> Device:
        """Where they are drawn."""

    @property
    def weights_sha256(self) -> str:
        """Of what draws."""

    @property
    def size(self) -> int:
        """Side of the images in pixels."""

    def notes(self, settings: GenerateSettings) -> list[str]:
        """What the user should know of drawing so."""

    def draw_block(
        self, label: int, block: int, settings: GenerateSettings
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """Draw images K b to K b + K - 1 of a class, K being ``settings.block``.

        Returns:
            images_u8 [K, bands, H, W] and for each its (bank row, seed). Image i depends only on
            (seed, class folder, i), its last bits also on K.
        """


@dataclass(frozen=True)
class Request:
    """Images wanted: class indices, where they go, how they are drawn."""

    classes: tuple[int, ...]
    out: Path
    settings: GenerateSettings


class Piece(NamedTuple):
    """Images of one class that one process draws and writes at once."""

    label: int
    indices: Sequence[int]  # of those that are missing


class Drawn(NamedTuple):
    """The images of a piece."""

    images_u8: Tensor  # [K, bands, H, W]
    origins: list[tuple[int, int]]  # (bank row, seed) of each
    noise: float  # r
    how: str  # they were drawn beside


def generate(
    run: Run, studio: Studio, request: Request, progress: Progress, resume: bool = True
) -> dict[str, int]:
    """Draw images into ``request.out`` and their lines into its manifest.

    Whole images that are there already, drawn alike, are kept and not drawn again.

    Returns:
        Class folder -> number of its images that are there now.

    Raises:
        UserError: if the folder holds images of the class drawn in another way, or another
            process writes there.
    """
    with only_writer(request.out) if studio.device.is_main else nullcontext():
        return _generate(run, studio, request, progress, resume)


def _generate(
    run: Run, studio: Studio, request: Request, progress: Progress, resume: bool
) -> dict[str, int]:
    device, settings = studio.device, request.settings
    wanted = {label: _number(studio.split, label, settings.n) for label in request.classes}
    folders = {label: studio.split.classes[label].folder for label in wanted}
    writer = ManifestWriter(request.out, device.rank)
    if not resume and device.is_main:
        writer.forget(list(folders.values()))
    device.wait()
    store = store_for(request.out, settings)
    pieces = _missing(_present(studio, request, writer, wanted), store)
    if device.is_main:
        run.record("generate", settings, classes=list(folders.values()))
    teller = progress if device.is_main else Silent()
    for note in studio.notes(settings):
        teller.warn(note)
    total, missing = sum(wanted.values()), sum(len(piece.indices) for piece in pieces)
    teller.start("generate", total, total - missing)
    mine = pieces[device.rank :: device.processes]
    drawn = Ahead(
        lambda place: _drawn(studio, settings, mine[place]), len(mine), in_thread=device.is_gpu
    )
    with ThreadPoolExecutor(ENCODE_THREADS) as pool:
        for place, piece in enumerate(mine):
            pictures = _encoded(studio, piece, drawn(place), store, pool)
            names = store.write(folders[piece.label], pictures, pool)
            named = zip(names, pictures, strict=True)
            writer.append([ManifestRow(file=name, **picture.facts) for name, picture in named])
            teller.advance(len(pictures) * device.processes)
    device.wait()
    if device.is_main:
        writer.finish()
    return {folders[label]: count for label, count in wanted.items()}


def _number(split: Split, label: int, asked: int | None) -> int:
    """Return how many images to draw: as asked, else what fills the class up to the largest."""
    return asked or max(max(split.counts) - split.counts[label], 1)


def _present(
    studio: Studio, request: Request, writer: ManifestWriter, wanted: dict[int, int]
) -> dict[int, bytearray]:
    """Return for each class which of the wanted images are there, a byte an image."""
    label_of = {studio.split.classes[label].folder: label for label in wanted}
    present = {label: bytearray(count) for label, count in wanted.items()}
    for row in writer.rows():
        if row.folder in label_of:
            _require_alike(row, studio, request)
            if row.index < wanted[label_of[row.folder]]:
                present[label_of[row.folder]][row.index] = 1
    return present


def _require_alike(row: ManifestRow, studio: Studio, request: Request) -> None:
    """Refuse to mix images that were drawn in different ways into one folder."""
    settings = request.settings
    expected = (
        studio.weights_sha256,
        settings.noise,
        settings.how,
        seed_of(settings.seed, "image", row.folder, row.index),
        settings.format,
    )
    found = (row.weights_sha256, row.noise, row.how, row.seed, format_of(row.file))
    if found != expected:
        raise UserError(
            f"{request.out} holds images of {row.folder!r} drawn with other weights, noise, seed, "
            "format or settings; replace them with --no-resume, or give another folder: --out DIR"
        )


def _missing(present: dict[int, bytearray], store: Store) -> list[Piece]:
    """Return the pieces that lack an image; a shard is written whole, or left alone."""
    pieces = []
    for label, there in present.items():
        for first in range(0, len(there), store.images):
            indices = range(first, min(first + store.images, len(there)))
            absent = [index for index in indices if not there[index]]
            if absent:
                pieces.append(Piece(label, indices if store.is_whole else absent))
    return pieces


def _drawn(studio: Studio, settings: GenerateSettings, piece: Piece) -> Drawn:
    """Draw the blocks of a piece and pick its images."""
    blocks = sorted({index // settings.block for index in piece.indices})
    drawn = [studio.draw_block(piece.label, block, settings) for block in blocks]
    origins = [origin for _, some in drawn for origin in some]
    known = [b * settings.block + place for b in blocks for place in range(settings.block)]
    row_of = {index: row for row, index in enumerate(known)}
    rows = [row_of[index] for index in piece.indices]
    images_u8 = torch.cat([images for images, _ in drawn])[rows]
    return Drawn(images_u8, [origins[row] for row in rows], settings.noise, settings.how)


def _encoded(
    studio: Studio, piece: Piece, drawn: Drawn, store: Store, pool: Executor
) -> list[Picture]:
    """Encode the images of a piece and say where each comes from."""

    def encode(place: int) -> Picture:
        source, seed = drawn.origins[place]
        data = encode_image(drawn.images_u8[place], store.encoding)
        facts = {
            "folder": studio.split.classes[piece.label].folder,
            "class_index": piece.label,
            "index": piece.indices[place],
            "seed": seed,
            "noise": drawn.noise,
            "how": drawn.how,
            "source": source,
            "source_file": studio.bank.files[source],
            "weights_sha256": studio.weights_sha256,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        return Picture(piece.indices[place], data, facts)

    return list(pool.map(encode, range(len(piece.indices))))
