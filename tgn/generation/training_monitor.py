"""Checks during the training of a generator: sample grids, a judge, warnings of mode collapse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tgn.data.image_grid import save_grid
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1, to_u8
from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.preview_yardstick import PreviewYardstick, open_yardstick
from tgn.generation.settings import GeneratorTrainSettings
from tgn.models.feature_losses import perceptual_distance
from tgn.models.tail_features import FrozenTailNet
from tgn.models.training_networks import TrainingNetwork
from tgn.runtime.files import append_text
from tgn.runtime.logs import ALARMS, GRIDS, as_lines
from tgn.runtime.seeds import generator
from tgn.runtime.training_loop import Job, Trainer, run_steps

NOISE_RATIOS = (0.05, 0.5, 1.0)
COLUMNS = 3  # images of each kind in a row of the grid
CHECKED_IMAGES = 16  # of a class, whose variation is compared with that of as many real images
CHECKED_RATIO = 0.5


class GeneratorTrainer(Trainer, Protocol):
    """Trains a generator whose samples can be checked."""

    @property
    def images(self) -> ImageSet:
        """Training images."""

    @property
    def frozen_tail_net(self) -> FrozenTailNet:
        """Measures perceptual distance."""

    def sample(self, real_u8: Tensor, label: int, ratio: float, random: torch.Generator) -> Tensor:
        """Generate images from real images of a class with the averaged generator.

        Args:
            real_u8: source images, [B, bands, H, W].
            label: their class.
            ratio: r in [0, 1].
            random: gives the noise, on the CPU.

        Returns:
            images_pm1 [B, bands, H, W].
        """


@dataclass(frozen=True)
class TrainingMonitor:
    """Samples from the averaged generator every ``grid_every`` steps, from fixed noise.

    Attributes:
        trainer: of the generator.
        split: classes of the run.
        settings: how often, and the threshold of the warning.
        job: its folder gets ``grids/`` and ``alarms.jsonl``.
        collapse_remedy: what the user of this backend can do about mode collapse, one clause.
        yardstick: a judge that the generator is not trained against; None: not there.
    """

    trainer: GeneratorTrainer
    split: Split
    settings: GeneratorTrainSettings
    job: Job
    collapse_remedy: str
    yardstick: PreviewYardstick | None = None

    def after(self, done: int) -> Mapping[str, float] | None:
        """Write a grid, check for mode collapse and let the judge look, if it is time.

        Args:
            done: finished steps.

        Returns:
            What to log: the variation of samples over that of real images, and the figures of
            :class:`PreviewYardstick`; None between checks.
        """
        if done % self.settings.grid_every and done != self.settings.steps:
            return None
        rows = [self._row(label) for label in self.split.tail_classes]
        names = [self.split.names[label] for label in self.split.tail_classes]
        columns = ["real", *(f"r={ratio}" for ratio in NOISE_RATIOS)]
        labels = [name for name in columns for _ in range(COLUMNS)]
        path = self.job.directory / GRIDS / f"{done:07d}.png"
        save_grid(path, rows, names, labels)
        judged = self.yardstick.figures(self.trainer.sample) if self.yardstick else {}
        return {**self._check(done), **judged}

    @torch.inference_mode()
    def _row(self, label: int) -> Tensor:
        """Return real images of a class, then samples at every ratio, [12, bands, H, W]."""
        rows = self._first_rows(label, COLUMNS)
        real_u8 = self.trainer.images.batch(rows)
        cells = [real_u8]
        for ratio in NOISE_RATIOS:
            noise = generator(self.settings.seed, "grid", label)
            cells.append(to_u8(self.trainer.sample(real_u8, label, ratio, noise)).cpu())
        return torch.cat(cells)

    @torch.inference_mode()
    def _check(self, done: int) -> dict[str, float]:
        """Compare the variation of samples (r = 0.5) with that of real images, class by class."""
        images, shares = self.trainer.images, {}
        for label in self.split.tail_classes:
            if len(images.rows_of(label)) < 2:
                continue
            real_u8 = images.batch(self._first_rows(label, CHECKED_IMAGES))
            noise = generator(self.settings.seed, "collapse", label)
            samples = self.trainer.sample(real_u8, label, CHECKED_RATIO, noise)
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
            stages = self.trainer.frozen_tail_net(images_pm1).stages
        return perceptual_distance(stages, [stage.roll(1, 0) for stage in stages]).mean()

    def _first_rows(self, label: int, count: int) -> Tensor:
        """Return the first ``count`` rows of a class, repeated if there are fewer."""
        rows = self.trainer.images.rows_of(label)
        return rows[torch.arange(count) % len(rows)]

    def _warn_of_collapse(self, done: int, label: int, share: float) -> None:
        name = self.split.names[label]
        text = (
            f"step {done}: mode collapse in class {name!r}? its samples vary {share:.2f} times as "
            f"much as real images, under collapse_fraction={self.settings.collapse_fraction}; "
            f"{self.collapse_remedy}"
        )
        self.job.progress.warn(text)
        entry = {"step": done, "class": name, "share": share, "text": text}
        append_text(self.job.directory / ALARMS, as_lines([entry]))


def run_monitored(
    trainer: GeneratorTrainer,
    run: Run,
    settings: GeneratorTrainSettings,
    job: Job,
    collapse_remedy: str,
    trained_against: Sequence[TrainingNetwork],
) -> None:
    """Train a generator with sample grids, a judge's figures and warnings of mode collapse.

    Args:
        trainer: does the steps; see `run_steps`.
        run: split and distilled.
        settings: length, intervals and the threshold of the warning.
        job: folder, device, audience.
        collapse_remedy: what the user of this backend can do about mode collapse, one clause.
        trained_against: frozen networks in the losses: the judge is another one.
    """
    yardstick = open_yardstick(run, trainer.images, job, trained_against, settings.seed)
    monitor = TrainingMonitor(trainer, run.split(), settings, job, collapse_remedy, yardstick)
    run_steps(trainer, settings, job, after_step=monitor.after)
