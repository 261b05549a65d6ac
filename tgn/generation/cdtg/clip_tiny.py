"""Training of the small CLIP that needs no download: images against the prompts of their class."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tgn.data.augmentation import augment, draw_augmentation
from tgn.data.batches import BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.prompts import Prompts
from tgn.generation.cdtg.losses import clip_consistency
from tgn.models.clip import ClipGuide, tiny_clip
from tgn.runtime.checkpoints import load_strictly, load_weights, save_weights
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job, run_steps

BATCH_SIZE = 64


class ClipTrainer:
    """Steps of contrasting images with the prompts of all classes, on class-balanced batches."""

    def __init__(
        self, guide: ClipGuide, images: ImageSet, steps: int, device: Device, seed: int
    ) -> None:
        self.guide, self.images, self.device, self.seed = guide, images, device, seed
        self.sampler = BatchSampler(images.labels, BATCH_SIZE, power=0, seed=seed)
        self.optimizer = torch.optim.AdamW(guide.parameters(), lr=1e-3, weight_decay=0.05)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 2e-3, steps)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        # So small that every process computes all of it: any number of them agrees.
        rows = self.sampler.rows(step)
        augmentation = draw_augmentation(BATCH_SIZE, generator(self.seed, "clip", step))
        images = augment(to_pm1(self.device.put(self.images.batch(rows))), augmentation)
        labels = self.images.labels[rows].to(images.device)
        with self.device.autocast():
            cosines = self.guide(images)
        scale = self.guide.model.logit_scale.exp().clamp(max=30.0)
        loss = clip_consistency(cosines, labels, scale)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        hits = (cosines.argmax(1) == labels).float().mean()
        return {"clip_loss": loss.detach(), "clip_hits": hits}

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser."""
        parts: dict[str, Any] = {
            "guide": self.guide,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.guide.load_state_dict(state["guide"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


def trained_tiny_clip(
    images: ImageSet,
    prompts: Prompts,
    loop: LoopSettings,
    job: Job,
) -> ClipGuide:
    """Return the run's own CLIP, trained at the first call and then read from its file.

    Args:
        images: of the training part.
        prompts: of every class.
        loop: number of steps, seed.
        job: its folder gets ``clip_tiny.safetensors``.

    Returns:
        The CLIP on the job's device, not yet frozen.
    """
    torch.manual_seed(seed_of(loop.seed, "clip init"))
    guide = tiny_clip(prompts, images.size)
    cache = job.directory / "clip_tiny.safetensors"
    if not cache.is_file():
        _train(guide, images, loop, job, cache)
    else:
        load_strictly(guide, load_weights(cache), str(cache))
    return job.device.place(guide)


def _train(guide: ClipGuide, images: ImageSet, loop: LoopSettings, job: Job, cache: Path) -> None:
    trainer = ClipTrainer(
        job.device.place(guide.train()), images, loop.steps, job.device, loop.seed
    )
    run_steps(trainer, loop, job, title="clip")
    if job.device.is_main:
        save_weights(cache, guide.state_dict())
    job.device.wait()
