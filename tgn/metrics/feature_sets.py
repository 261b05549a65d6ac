"""Features of image sets that are given as features, images or folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgn.data.image_folders import FLAT, folder_images, folder_rows, image_side
from tgn.models.extractors import (
    BATCH_SIZE,
    CHOICES,
    Extractor,
    Images,
    TensorImages,
    load_extractor,
)
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings, DeviceName


class ArrayLike(Protocol):
    """Anything that numpy turns into an array, e.g. what a generator of this toolkit returns."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...


Array = NDArray[np.generic]
ImageData = Tensor | Array | ArrayLike | str | Path
FeatureFunction = Callable[[Tensor], Tensor | Array]


class FeatureSets:
    """Turns sets of any form into features, with one extractor.

    Args:
        extractor: a name, a classifier file, a callable, or None where only features are given.
        size: side in pixels at which folders are read; None is that of the first image.
        device: where a named extractor computes.
    """

    def __init__(
        self,
        extractor: str | Path | FeatureFunction | None,
        size: int | None,
        device: DeviceName,
    ) -> None:
        self._given, self._size, self._device = extractor, size, device
        self._loaded: Extractor | None = None

    def pair(self, generated: ImageData, real: ImageData) -> tuple[Tensor, Tensor]:
        """Return the features of both; folders are read at the first generated image's side."""
        if self._size is None:
            self._size = _side(generated)
        return self.features(generated), self.features(real)

    def features(self, data: ImageData) -> Tensor:
        """Return the features of a set, [N, D] on the CPU, float32 or float64.

        Raises:
            UserError: for another shape, a missing extractor or an empty set.
        """
        if isinstance(data, str | Path):
            return self._extract(self._folder(Path(data)))
        table = _tensor(data)
        if table.ndim == 2:
            return table if table.dtype == torch.float64 else table.float()
        if table.ndim != 4 or table.dtype != torch.uint8:
            raise UserError(
                f"got {table.dtype} {[*table.shape]}; expected features [N, D], or uint8 images "
                "[N, 3, H, W] or [N, 1, H, W]"
            )
        return self._extract(TensorImages(_with_bands(table, self._bands)))

    @property
    def _bands(self) -> int:
        extractor = self._extractor()
        return extractor.network.bands if isinstance(extractor, Extractor) else 3

    def _extractor(self) -> Extractor | FeatureFunction:
        if self._given is None:
            raise UserError(
                f"images need an extractor; give extractor=... with {CHOICES}, or a callable from "
                "uint8 images [B, 3, H, W] to features [B, D]"
            )
        if not isinstance(self._given, str | Path):
            return self._given
        if self._loaded is None:
            self._loaded = load_extractor(self._given)
        return self._loaded

    def _folder(self, folder: Path) -> Images:
        bands, rows = self._bands, folder_rows(folder)
        size = self._size or image_side(folder / rows[0].file)
        return folder_images(folder, rows, [FLAT], size, bands)

    def _extract(self, images: Images) -> Tensor:
        if len(images) == 0:
            raise UserError("got 0 images, expected one or more")
        extractor = self._extractor()
        if isinstance(extractor, Extractor):
            device = Device(ComputeSettings(device=self._device, precision="float32"))
            return extractor.features(images, device, Silent())
        return _apply(extractor, images)


def _with_bands(images_u8: Tensor, bands: int) -> Tensor:
    """Return images [N, bands, H, W]; grey ones are repeated over three bands."""
    if images_u8.shape[1] not in (bands, 1 if bands == 3 else bands):
        raise UserError(
            f"got images {[*images_u8.shape]}, expected [N, {bands}, H, W] for this extractor"
        )
    return images_u8.expand(-1, bands, -1, -1)


@torch.no_grad()
def _apply(extract: FeatureFunction, images: Images) -> Tensor:
    """Return a callable's features of all images, batch by batch."""
    parts = []
    for rows in torch.arange(len(images)).split(BATCH_SIZE):
        part = _tensor(extract(images.batch(rows)))
        if part.ndim != 2 or len(part) != len(rows):
            raise UserError(
                f"the extractor returned {[*part.shape]} for {len(rows)} images, expected "
                f"[{len(rows)}, D]"
            )
        parts.append(part)
    table = torch.cat(parts)
    return table if table.dtype == torch.float64 else table.float()


def _tensor(data: Tensor | Array | ArrayLike) -> Tensor:
    if isinstance(data, Tensor):
        return data.detach().cpu()
    if hasattr(data, "__array__"):
        return torch.from_numpy(np.require(np.asarray(data), requirements=["C", "W"]))
    raise UserError(f"got {type(data).__name__}, expected a tensor, an array or a folder")


def _side(data: ImageData) -> int | None:
    """Return the side of the first image in pixels; None for features."""
    if isinstance(data, str | Path):
        folder = Path(data)
        return image_side(folder / folder_rows(folder)[0].file)
    table = _tensor(data)
    return max(table.shape[2:]) if table.ndim == 4 else None
