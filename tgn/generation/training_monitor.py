"""What a training looks like on its way: sample grids and the collapse alarm."""

import json
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tgn.data.image_grid import save_grid
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1, to_u8
from tgn.data.split import Split
from tgn.generation.settings import PreviewSettings
from tgn.models.feature_losses import perceptual_distance
from tgn.models.tail_features import Critic
from tgn.runtime.seeds import generator
from tgn.runtime.training_loop import Job

RATIOS = (0.05, 0.5, 1.0)
COLUMNS = 3  # pictures of each kind in a row of the grid
CHECKED = 16  # drawings a class whose variety is compared with that of as many real images


Draw = Callable[[Tensor, int, float, torch.Generator], Tensor]
"""From real images_u8 [B, bands, H, W] of a class, the class, r and a seed to images_pm1."""


class Preview:
    """Looks at the averaged generator every ``grid_every`` steps; draws from fixed noise."""

    def __init__(
        self, split: Split, images: ImageSet, critic: Critic, settings: PreviewSettings, job: Job
    ) -> None:
        self.split, self.images, self.critic = split, images, critic
        self.settings, self.job = settings, job

    def after(self, done: int, draw: Draw) -> Mapping[str, float] | None:
        """Write a grid and check for collapse if it is time; return what to log."""
        if done % self.settings.grid_every and done != self.settings.steps:
            return None
        rows = [self._row(draw, label) for label in self.split.tail_classes]
        names = [self.split.names[label] for label in self.split.tail_classes]
        columns = ["real", *(f"r={ratio}" for ratio in RATIOS)]
        labels = [name for name in columns for _ in range(COLUMNS)]
        path = self.job.directory / "grids" / f"{done:07d}.png"
        save_grid(path, rows, names, labels)
        return self._check(done, draw)

    @torch.inference_mode()
    def _row(self, draw: Draw, label: int) -> Tensor:
        """Real images of a class, then drawings from them at every ratio, [12, bands, H, W]."""
        rows = self._some(label, COLUMNS)
        real_u8 = self.images.batch(rows)
        cells = [real_u8]
        for ratio in RATIOS:
            noise = generator(self.settings.seed, "grid", label)
            cells.append(to_u8(draw(real_u8, label, ratio, noise)).cpu())
        return torch.cat(cells)

    @torch.inference_mode()
    def _check(self, done: int, draw: Draw) -> dict[str, float]:
        """Compare the variety of drawings (r = 0.5) with the real one, class by class."""
        shares = {}
        for label in self.split.tail_classes:
            if len(self.images.rows_of(label)) < 2:
                continue
            real_u8 = self.images.batch(self._some(label, CHECKED))
            noise = generator(self.settings.seed, "collapse", label)
            drawn = draw(real_u8, label, 0.5, noise)
            real = self._variety(to_pm1(self.job.device.put(real_u8)))
            shares[label] = float(self._variety(drawn) / real.clamp(min=1e-6))
        for label, share in shares.items():
            if share < self.settings.collapse_fraction:
                self._alarm(done, label, share)
        if not shares:
            return {}
        mean = sum(shares.values()) / len(shares)
        return {"variety_min": min(shares.values()), "variety_mean": mean}

    def _variety(self, images_pm1: Tensor) -> Tensor:
        """Mean perceptual distance of neighbours in a ring of images."""
        with self.job.device.autocast():
            stages = self.critic(images_pm1).stages
        return perceptual_distance(stages, [stage.roll(1, 0) for stage in stages]).mean()

    def _some(self, label: int, count: int) -> Tensor:
        """Return the first ``count`` rows of a class, repeated if there are fewer."""
        rows = self.images.rows_of(label)
        return rows[torch.arange(count) % len(rows)]

    def _alarm(self, done: int, label: int, share: float) -> None:
        name = self.split.names[label]
        text = (
            f"step {done}: class {name!r} may be collapsing: its drawings vary {share:.2f} as much "
            f"as real images, under {self.settings.collapse_fraction}; raise diversity_weight"
        )
        self.job.progress.warn(text)
        with (self.job.directory / "alarms.jsonl").open("a", encoding="utf-8") as file:
            entry = {"step": done, "class": name, "share": share, "text": text}
            file.write(json.dumps(entry) + "\n")
