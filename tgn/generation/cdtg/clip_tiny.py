"""Training of the CLIP that needs no download: image features against the prompts of a class."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.data.augmentation import augment, draw_augmentation
from tgn.data.batches import BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.data.prompts import Prompts
from tgn.generation.cdtg.losses import clip_consistency
from tgn.models.clip import ClipGuide
from tgn.models.tiny_clip import ARCH, tiny_clip
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of
from tgn.runtime.settings import LoopSettings
from tgn.runtime.training_loop import Job, run_steps

BATCH_SIZE = 256  # cached features a step
VIEWS = 4096  # augmented images whose features are computed, at most
VIEWS_AT_A_TIME = 64
LR = 2e-3
WEIGHT_DECAY = 0.05
MAX_SCALE = 30.0  # of the logits
MADE_FROM = "made_from"  # entry of the header of the CLIP's file


class Views(NamedTuple):
    """Augmented images of all classes, every class alike, as the frozen network sees them."""

    features: Tensor  # [V, D], on the device
    labels: Tensor  # [V], on the device


class ClipTrainer:
    """Steps of contrasting image features with the prompts of all classes.

    The features are those of a frozen network, so they are computed once, at the first step: of a
    bounded number of augmented images, however many the run has.

    Args:
        guide: its heads are trained; on the device.
        images: of the training part.
        loop: number of steps, seed.
        device: where to compute.
    """

    def __init__(
        self, guide: ClipGuide, images: ImageSet, loop: LoopSettings, device: Device
    ) -> None:
        self.guide, self.images, self.loop, self.device = guide, images, loop, device
        self.heads = guide.model.heads
        parameters = self.heads.parameters()
        self.optimizer = torch.optim.AdamW(parameters, LR, weight_decay=WEIGHT_DECAY, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, LR, loop.steps)

    @cached_property
    def views(self) -> Views:
        """Features to train on; a function of images, steps and seed alone."""
        count = min(VIEWS, self.loop.steps * BATCH_SIZE)
        sampler = BatchSampler(self.images.labels, VIEWS_AT_A_TIME, power=0, seed=self.loop.seed)
        # So quick that every process computes all of it: any number of them agrees.
        drawn = [sampler.rows(part) for part in range(count // VIEWS_AT_A_TIME)]
        features = torch.cat([self._features(part, rows) for part, rows in enumerate(drawn)])
        labels = self.images.labels[torch.cat(drawn)].to(features.device)
        return Views(features, labels)

    @torch.no_grad()
    def _features(self, part: int, rows: Tensor) -> Tensor:
        augmentation = draw_augmentation(len(rows), generator(self.loop.seed, "clip", part))
        images = augment(to_pm1(self.device.put(self.images.batch(rows))), augmentation)
        with self.device.autocast():
            features: Tensor = self.guide.model.features(self.guide.resized(images))
        return features

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        features, labels = self.views
        if step == 0:
            self.heads.mean.copy_(features.mean(0))
        draw = generator(self.loop.seed, "clip rows", step)
        rows = torch.randint(len(labels), (BATCH_SIZE,), generator=draw).to(labels.device)
        with self.device.autocast():
            embeddings = F.normalize(self.heads.project(features[rows]).float(), dim=1)
            cosines = self.guide.cosines(embeddings)
        scale = self.heads.logit_scale.exp().clamp(max=MAX_SCALE)
        loss = clip_consistency(cosines.float(), labels[rows], scale)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        hits = (cosines.argmax(1) == labels[rows]).float().mean()
        return {"clip_loss": loss.detach(), "clip_hits": hits}

    def _stateful(self) -> dict[str, Any]:
        return {"heads": self.heads, "optimizer": self.optimizer, "schedule": self.schedule}

    def state_dict(self) -> dict[str, Any]:
        """Return the heads' weights and optimiser."""
        return {name: part.state_dict() for name, part in self._stateful().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])


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
        job: its folder gets ``clip_tiny.safetensors``, the trained heads.

    Returns:
        The CLIP on the job's device, not yet frozen.

    Raises:
        UserError: if the package with the ImageNet weights is not installed, or a training that
            was interrupted began with other settings.
    """
    torch.manual_seed(seed_of(loop.seed, "clip init"))
    guide: ClipGuide = job.device.place(tiny_clip(prompts, images.size, images.bands))
    job = replace(job, made_from=_made_from(images, prompts, loop))
    cache = job.directory / "clip_tiny.safetensors"
    if _is_there(cache, job):
        load_strictly(guide.model.heads, load_weights(cache), str(cache))
    else:
        _train(guide, images, loop, job, cache)
    return guide


def _made_from(images: ImageSet, prompts: Prompts, loop: LoopSettings) -> dict[str, Any]:
    """Return what another CLIP would be trained with, as JSON has it."""
    text = hashlib.sha256(json.dumps([list(own) for own in prompts]).encode()).hexdigest()
    made_from = {"clip_arch": ARCH, "clip_steps": loop.steps, "clip_seed": loop.seed}
    return {**made_from, "size": images.size, "bands": images.bands, "prompts_sha256": text}


def _is_there(cache: Path, job: Job) -> bool:
    return cache.is_file() and read_metadata(cache).get(MADE_FROM) == json.dumps(job.made_from)


def _train(guide: ClipGuide, images: ImageSet, loop: LoopSettings, job: Job, cache: Path) -> None:
    trainer = ClipTrainer(guide.train(), images, loop, job.device)
    run_steps(trainer, loop, job, title="clip")
    if job.device.is_main:
        header = {MADE_FROM: json.dumps(job.made_from)}
        save_weights(cache, guide.model.heads.state_dict(), header)
    job.device.wait()
