"""Checks during the training of a generator: sample grids and the warning of mode collapse."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tgn.data.image_grid import save_grid
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1, to_u8
from tgn.data.split import Split
from tgn.generation.settings import TrainingMonitorSettings
from tgn.models.feature_losses import perceptual_distance
from tgn.models.tail_features import FrozenTailNet
from tgn.runtime.seeds import generator
from tgn.runtime.training_loop import Job

NOISE_RATIOS = (0.05, 0.5, 1.0)
COLUMNS = 3  # images of each kind in a row of the grid
CHECKED_IMAGES = 16  # of a class, whose variation is compared with that of as many real images
CHECKED_RATIO = 0.5

SampleFunction = Callable[[Tensor, int, float, torch.Generator], Tensor]
"""From real images_u8 [B, bands, H, W] of a class, the class, r and a generator to images_pm1."""


@dataclass(frozen=True)
class TrainingMonitor:
    """Samples from the averaged generator every ``grid_every`` steps, from fixed noise.

    Attributes:
        split: classes of the run.
        images: training images.
        frozen_tail_net: measures perceptual distance.
        settings: how often, and the threshold of the warning.
        job: its folder gets ``grids/`` and ``alarms.jsonl``.
        collapse_remedy: what the user of this backend can do about mode collapse, one clause.
    """

    split: Split
    images: ImageSet
    frozen_tail_net: FrozenTailNet
    settings: TrainingMonitorSettings
    job: Job
    collapse_remedy: str

    def after(self, done: int, sample: SampleFunction) -> Mapping[str, float] | None:
        """Write a grid and check for mode collapse, if it is time.

        Args:
            done: count of finished steps.
            sample: generates images with the averaged generator.

        Returns:
            What to log: the variation of samples over that of real images; None between checks.
        """
        if done % self.settings.grid_every and done != self.settings.steps:
            return None
        rows = [self._row(sample, label) for label in self.split.tail_classes]
        names = [self.split.names[label] for label in self.split.tail_classes]
        columns = ["real", *(f"r={ratio}" for ratio in NOISE_RATIOS)]
        labels = [name for name in columns for _ in range(COLUMNS)]
        path = self.job.directory / "grids" / f"{done:07d}.png"
        save_grid(path, rows, names, labels)
        return self._check(done, sample)

    @torch.inference_mode()
    def _row(self, sample: SampleFunction, label: int) -> Tensor:
        """Return real images of a class, then samples at every ratio, [12, bands, H, W]."""
        rows = self._first_rows(label, COLUMNS)
        real_u8 = self.images.batch(rows)
        cells = [real_u8]
        for ratio in NOISE_RATIOS:
            noise = generator(self.settings.seed, "grid", label)
            cells.append(to_u8(sample(real_u8, label, ratio, noise)).cpu())
        return torch.cat(cells)

    @torch.inference_mode()
    def _check(self, done: int, sample: SampleFunction) -> dict[str, float]:
        """Compare the variation of samples (r = 0.5) with that of real images, class by class."""
        shares = {}
        for label in self.split.tail_classes:
            if len(self.images.rows_of(label)) < 2:
                continue
            real_u8 = self.images.batch(self._first_rows(label, CHECKED_IMAGES))
            noise = generator(self.settings.seed, "collapse", label)
            samples = sample(real_u8, label, CHECKED_RATIO, noise)
            real = self._variation(to_pm1(self.job.device.put(real_u8)))
            shares[label] = float(self._variation(samples) / real.clamp(min=1e-6))
        for label, share in shares.items():
            if share < self.settings.collapse_fraction:
                self._warn_of_collapse(done, label, share)
        if not shares:
            return {}
        mean = sum(shares.values()) / len(shares)
        return {"variety_min": min(shares.values()), "variety_mean": mean}

    def _variation(self, images_pm1: Tensor) -> Tensor:
        """Return the mean perceptual distance of each image to the one before it, cyclically."""
        with self.job.device.autocast():
            stages = self.frozen_tail_net(images_pm1).stages
        return perceptual_distance(stages, [stage.roll(1, 0) for stage in stages]).mean()

    def _first_rows(self, label: int, count: int) -> Tensor:
        """Return the first ``count`` rows of a class, repeated if there are fewer."""
        rows = self.images.rows_of(label)
        return rows[torch.arange(count) % len(rows)]

    def _warn_of_collapse(self, done: int, label: int, share: float) -> None:
        name = self.split.names[label]
        text = (
            f"step {done}: mode collapse in class {name!r}? its samples vary {share:.2f} times as "
            f"much as real images, under collapse_fraction={self.settings.collapse_fraction}; "
            f"{self.collapse_remedy}"
        )
        self.job.progress.warn(text)
        with (self.job.directory / "alarms.jsonl").open("a", encoding="utf-8") as file:
            entry = {"step": done, "class": name, "share": share, "text": text}
            file.write(json.dumps(entry) + "\n")
