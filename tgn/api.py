"""The Python interface of ``tgn``: open runs, load generators, sample images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgn.backends import trained_backend
from tgn.data.augmentation import SYMMETRIES
from tgn.data.images import to_pm1, to_u8
from tgn.data.runs import Run, find_run
from tgn.generation.cdtg.checkpoint import GeneratorFacts, load_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator, Source
from tgn.generation.generate import ImageSampler
from tgn.generation.sampling_plan import draw_images
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.settings import ComputeSettings


@dataclass(frozen=True)
class GeneratedImages:
    """Generated images of one class, with where each comes from.

    Behaves like the array of its images: ``len``, indexing, ``.shape`` and ``numpy.asarray``.

    Attributes:
        images: uint8, [N, bands, H, W].
        class_name: the class's folder name; "" where a generator knows no names.
        sources: the real training image behind each, relative to the data folder; "" if none.
        seeds: of each image's noise.
        noise: r in [0, 1]: 0 redraws the source, 1 forgets it.
    """

    images: Tensor
    class_name: str
    sources: tuple[str, ...]
    seeds: tuple[int, ...]
    noise: float

    @property
    def shape(self) -> tuple[int, ...]:
        """N, bands, H, W."""
        return tuple(self.images.shape)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Tensor:
        return self.images[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.images.numpy(), dtype=dtype, copy=copy)


@dataclass(frozen=True)
class RunGenerator:
    """A trained generator of a run, together with the features of its source images."""

    _sampler: ImageSampler
    _settings: Any
    _tail_only: str  # why it cannot generate head classes; "" if it can

    @property
    def classes(self) -> list[str]:
        """Folder names of the tail classes, largest first."""
        split = self._sampler.split
        return [split.classes[label].folder for label in split.tail_classes]

    @property
    def head_classes(self) -> list[str]:
        """Folder names of the head classes that it can generate too; none if it knows the tail."""
        split = self._sampler.split
        return [] if self._tail_only else [split.classes[k].folder for k in split.head_classes]

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self._sampler.size

    def sample(
        self, class_name: str | int, n: int = 8, noise: float = 0.4, seed: int = 0
    ) -> GeneratedImages:
        """Generate the first ``n`` images of a class.

        They are the images that ``tgn generate`` writes with this seed and noise, up to the last
        bit of a pixel, which depends on how many are computed at once.

        Args:
            class_name: folder name of a class, or, as a number, a position in the tail (0 = its
                largest class).
            n: how many, > 0.
            noise: r in [0, 1]: 0 redraws the source, 1 forgets it.
            seed: another seed gives other images.

        Raises:
            UserError: for an unknown class, a head class that it cannot generate, or a number out
                of range.
        """
        given = self._settings.model_dump() | {"block": n, "noise": noise, "seed": seed}
        settings = type(self._settings).resolve(**given)
        split = self._sampler.split
        label = split.class_called(class_name)
        if split.is_head(label) and self._tail_only:
            raise UserError(self._tail_only)
        images_u8, origins = self._sampler.sample_block(label, 0, settings)
        return GeneratedImages(
            images=images_u8,
            class_name=split.classes[label].folder,
            sources=tuple(self._sampler.bank.file_of(origin.source) for origin in origins),
            seeds=tuple(origin.seed for origin in origins),
            noise=noise,
        )


class LoadedRun(Run):
    """A run directory, as ``tgn split`` made it and the later stages filled it."""

    @property
    def classes(self) -> list[str]:
        """Folder names of all classes, largest first; the position is the class index."""
        return [entry.folder for entry in self.split().classes]

    @property
    def tail_classes(self) -> list[str]:
        """Folder names of the tail classes, largest first."""
        split = self.split()
        return [split.classes[label].folder for label in split.tail_classes]

    def generator(
        self, backend: str | None = None, device: str = "auto", **settings: Any
    ) -> RunGenerator:
        """Load the run's trained generator.

        Args:
            backend: cdtg, diffusion or stable-diffusion; default: the one trained last.
            device: auto, cpu or cuda.
            settings: what else ``tgn generate --set`` takes with this backend.

        Raises:
            NotFoundError: if nothing was trained; says which command does it.
            UserError: for an unknown backend or setting.
        """
        chosen = trained_backend(self, backend)
        resolved = chosen.sample_settings.resolve(device=device, **settings)
        sampler = chosen.open_sampler(self, resolved)
        return RunGenerator(sampler, resolved, chosen.why_tail_only(self, sampler))


def load_run(run: str | Path | None = None) -> LoadedRun:
    """Open a run by its name below ``checkpoints`` (or ``$TGN_RUNS``), or by its path.

    Args:
        run: name or path; default: the run made last.

    Raises:
        NotFoundError: if there is no such run; lists those that exist.
    """
    return LoadedRun(find_run(run).path)


class Generator:
    """A CDTG generator without its run: sources in, or noise alone, images out."""

    def __init__(
        self, network: ConditionalGenerator, facts: GeneratorFacts, device: Device
    ) -> None:
        self.network, self._facts, self._device = network, facts, device

    @property
    def classes(self) -> list[str]:
        """Folder name of each class, by class index; empty for files of older versions."""
        return list(self._facts.classes)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.network.architecture.size

    @property
    def num_classes(self) -> int:
        """C."""
        return self.network.num_classes

    @property
    def feature_channels(self) -> int:
        """D of the tail features that it takes."""
        return self.network.feature_channels

    def sample(
        self,
        class_name: str | int,
        n: int = 8,
        noise: float = 1.0,
        sources: tuple[Tensor, Tensor] | None = None,
        seed: int = 0,
    ) -> GeneratedImages:
        """Generate images of a class from real images, or from noise alone.

        With ``noise=1`` they are the first that ``tgn generate`` writes with this seed, up to the
        last bit of a pixel, which depends on how many are computed at once.

        Args:
            class_name: a name of :attr:`classes`, or the class index.
            n: how many, > 0; with sources: their number.
            noise: r in [0, 1]; without sources only 1 is possible.
            sources: real images, uint8 [n, bands, S, S], and their tail features, [n, D, h, w].
            seed: another seed gives other images.

        Raises:
            UserError: for an unknown class, sources of another shape, or r < 1 without sources.
        """
        label = self._label(class_name)
        recombination = self.network.recombination
        if recombination is not None and not recombination.counts[label]:
            raise UserError(f"class {class_name!r}: this generator was not trained on its images")
        images, features = self._no_sources(n, noise) if sources is None else sources
        self._check(images, features, noise)
        name = self.classes[label] if self.classes else ""
        draws = draw_images(seed, name or str(label), range(len(features)), SYMMETRIES)
        noises, target = draws.noise(self.network.noise_dim), self._device.torch_device
        labels = torch.full((len(features),), label, device=target)
        ratio = torch.full((len(features),), float(noise), device=target)
        with torch.inference_mode(), self._device.autocast():
            source = Source(features.float().to(target), to_pm1(self._device.put(images)))
            made = self.network(source, labels, noises.to(target), ratio)
        images_u8, seeds = to_u8(made.images).cpu(), tuple(draws.seeds)
        return GeneratedImages(images_u8, name, ("",) * len(seeds), seeds, noise)

    def _label(self, class_name: str | int) -> int:
        if isinstance(class_name, str) and class_name in self.classes:
            return self.classes.index(class_name)
        if isinstance(class_name, int) and 0 <= class_name < self.num_classes:
            return class_name
        known = ", ".join(self.classes) or "no names in this file"
        raise UserError(
            f"class got {class_name!r}, expected an index 0 to {self.num_classes - 1}, or a name: "
            f"{known}"
        )

    def _no_sources(self, n: int, noise: float) -> tuple[Tensor, Tensor]:
        if noise < 1:
            raise UserError(
                f"noise got {noise} without sources: only noise=1 needs none; give sources="
                f"(images, features), or use load_run(...).generator()"
            )
        if n < 1:
            raise UserError(f"n got {n}, expected at least 1")
        images = torch.zeros(n, *self._image_shape, dtype=torch.uint8)
        return images, torch.zeros(n, self.feature_channels, 1, 1)

    @property
    def _image_shape(self) -> tuple[int, int, int]:
        return self.network.architecture.bands, self.size, self.size

    def _check(self, images: Tensor, features: Tensor, noise: float) -> None:
        shape, count = self._image_shape, len(images)
        if images.shape[1:] != shape or images.dtype != torch.uint8 or not count:
            raise UserError(
                f"images got {images.dtype} {[*images.shape]}, expected torch.uint8 "
                f"[n, {', '.join(map(str, shape))}]"
            )
        if features.ndim != 4 or features.shape[:2] != (count, self.feature_channels):
            raise UserError(
                f"features got {[*features.shape]}, expected [{count}, {self.feature_channels}, "
                "h, w], of the same images"
            )
        if not 0 <= noise <= 1:
            raise UserError(f"noise got {noise}, expected r in [0, 1]")
        if noise < 1 and not self._facts.fusion_is_trained:
            raise UserError(
                f"noise got {noise}, but an imported generator cannot use sources; use noise=1"
            )


def load_generator(file: str | Path, device: str = "auto") -> Generator:
    """Load a CDTG generator (``generator.safetensors``) without its run and feature bank.

    Args:
        file: what ``tgn train`` or ``tgn import`` wrote.
        device: auto, cpu or cuda.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if the file is no CDTG generator.
    """
    where = Device(ComputeSettings.resolve(device=device))
    network, facts = load_conditional_generator(Path(file))
    return Generator(where.place(network), facts, where)
