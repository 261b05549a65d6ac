"""A cache of features on disk, keyed by the content of images and weights."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from tgn.data.image_set import ImageSet
from tgn.data.shards import member_sha256
from tgn.models.extractors import Extractor
from tgn.runtime.checkpoints import load_weights, save_weights
from tgn.runtime.devices import Device
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Progress

HASH_THREADS = 4


class FeatureCache:
    """A folder of feature tables; it may be deleted at any time.

    Args:
        folder: of the tables; None caches nothing.
        device: where networks compute.
        progress: advanced after every batch that had to be computed.
    """

    def __init__(self, folder: Path | None, device: Device, progress: Progress) -> None:
        self.folder, self.device, self.progress = folder, device, progress
        self._hashes: dict[Path, str] = {}

    def features(self, extractor: Extractor, images: ImageSet) -> Tensor:
        """Return the features of a whole set, float32 [N, D], on the CPU."""
        if self.folder is None:
            return extractor.features(images, self.device, self.progress)
        path = self.folder / f"{self._key(extractor, images)}.safetensors"
        kept = _kept(path)
        self.device.wait()  # all processes read before one writes: they must agree
        if kept is not None:
            return kept
        features = extractor.features(images, self.device, self.progress)
        if self.device.is_main:
            save_weights(path, {"features": features})
        return features

    def _key(self, extractor: Extractor, images: ImageSet) -> str:
        computed_with = (
            extractor.name,
            extractor.weights_sha256,
            extractor.network.resize_rule,
            f"{images.size} px, {images.bands} bands",
            *([f"samples {images.sample_range}"] if images.sample_range else []),
            torch.__version__,  # another version may round differently
        )
        lines = [*computed_with, *self.file_hashes(images.files)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def file_hashes(self, files: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of each file's content; one is read once in a cache's life."""
        new = [file for file in dict.fromkeys(files) if file not in self._hashes]
        with ThreadPoolExecutor(HASH_THREADS) as pool:
            self._hashes.update(zip(new, pool.map(member_sha256, new), strict=True))
        return [self._hashes[file] for file in files]


def _kept(path: Path) -> Tensor | None:
    """Return the features of a file; None if there is none, or a damaged one."""
    try:
        return load_weights(path).get("features")
    except UserError:
        return None
