"""The training steps of classifiers, the same for every method, and validation."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from classify.methods.base import Batch, Method
from classify.training.augmenting import Augmenter, DrawnChanges, at_side
from classify.training.frozen_parts import FrozenParts
from classify.training.mixing import Blend, draw_blend, mix_images
from classify.training.optimiser import build_optimizer
from classify.training.sampling import BatchRequest, SampledBatch
from classify.training.settings import TrainSettings
from tgn.data.batches import Prefetcher
from tgn.data.image_set import ImageSet
from tgn.metrics.classification import balanced_accuracy_error, confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions
from tgn.models.moving_average import averaged
from tgn.models.optimizers import set_rate
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator


class BatchSource(Protocol):
    """What samples the batches of a training."""

    counts: Tensor  # real training images of each class, [C]

    def batch(self, request: BatchRequest) -> SampledBatch:
        """Return the images of a step."""


class BatchTransform(NamedTuple):
    """How this process augments and mixes its part of a batch."""

    rows: Tensor  # of this process
    changes: DrawnChanges  # of the whole batch
    blend: Blend | None  # of the whole batch


class ClassifierTrainer:
    """Trains a student by a method; the average of its weights is the result.

    Args:
        method: computes the loss of the student.
        source: samples the batches.
        settings: of the training.
        device: where to train.
    """

    def __init__(
        self, method: Method, source: BatchSource, settings: TrainSettings, device: Device
    ) -> None:
        self.method, self.source = method, source
        self.settings = settings = settings.resolved()
        self.device, self.augmenter = device, Augmenter(settings, device)
        student = method.student
        self.frozen = FrozenParts(
            student, settings.freeze_stages, settings.freeze_norm, settings.tuning
        )
        self.prefetched = Prefetcher(self._sample, settings.steps, in_thread=device.is_gpu)
        self.average = averaged(student, settings.ema_decay)
        self.best: dict[str, Any] = {"score": -1.0, "step": 0, "weights": {}}
        self.optimizer = build_optimizer(method, settings)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step and return the terms of its loss."""
        weights = self.method.class_weights()
        sampled = self.prefetched(step) if weights is None else self._sample(step, weights)
        progress = self._progress(step)
        batch = self._batch(sampled, step, progress)
        set_rate(self.optimizer, self._rate(progress))
        self.method.train()
        self.frozen.hold()
        with self.device.autocast():
            output = self.method(batch)
        optimise(output.loss, self.optimizer, self.device)
        self.method.after_step()
        self.average.update_parameters(self.method.student)
        return {name: term.detach() for name, term in output.terms.items()}

    def _sample(self, step: int, class_weights: Tensor | None = None) -> SampledBatch:
        settings, progress = self.settings, self._progress(step)
        return self.source.batch(
            BatchRequest(
                settings.batch_size,
                settings.seed,
                step,
                progress,
                class_weights,
                self._foreground_power(step),
            )
        )

    def _foreground_power(self, step: int) -> float | None:
        """Return by which power of the counts foregrounds are sampled; None: the step has none."""
        if self.settings.mixing != "cmo":
            return None
        cmo, rng = self.settings.cmo, generator(self.settings.seed, "classify cmo", step)
        uniform = float(torch.rand(1, generator=rng))
        return cmo.power if cmo.is_on(self._progress(step), uniform) else None

    def _progress(self, step: int) -> float:
        return step / self.settings.steps

    def _rate(self, progress: float) -> float:
        assert self.settings.lr is not None
        return self.settings.lr * warmup_cosine(progress, self.settings.warmup_fraction)

    def _batch(self, sampled: SampledBatch, step: int, progress: float) -> Batch:
        """Augment and mix this process's part of a sampled batch, without the foregrounds."""
        size, blend = len(sampled.labels), self._blend(sampled, step)
        mine = self.device.own_rows(size // 2 if sampled.has_foregrounds else size)
        transform = BatchTransform(mine, self.augmenter.draw(size, step), blend)
        images = self._transformed(sampled.images_u8, transform)
        paired = None
        if sampled.paired_u8 is not None:
            paired = self._transformed(sampled.paired_u8, transform)
        put = images.device
        own, share = sampled.labels[mine].to(put), torch.ones(len(mine), device=put)
        is_generated = sampled.is_generated.to(put)
        partners, other, soft = own, mine, sampled.targets
        if blend is not None:
            other = blend.partner[mine]
            partners = sampled.labels[other].to(put)
            share = blend.share[mine].to(put)
        kinds = is_generated[mine], is_generated[other]
        targets = (None, None) if soft is None else (soft[mine].to(put), soft[other].to(put))
        prior = sampled.prior
        return Batch(images, own, partners, share, *kinds, prior, progress, paired, *targets)

    def _blend(self, sampled: SampledBatch, step: int) -> Blend | None:
        mixing = self.settings.mixing
        if mixing == "none" or (mixing == "cmo" and not sampled.has_foregrounds):
            return None
        return draw_blend(
            mixing,
            sampled.labels,
            self.source.counts,
            self.settings.mixing_alpha,
            generator(self.settings.seed, "classify mix", step),
        )

    def _transformed(self, images_u8: Tensor, transform: BatchTransform) -> Tensor:
        """Augment and mix images [B, bands, H, W]; those of two sensors by the same transform."""
        rows, changes, blend = transform
        images = self.augmenter.changed(images_u8, rows, changes)
        if blend is not None:
            partners = self.augmenter.changed(images_u8, blend.partner[rows], changes)
            images = mix_images(images, partners, blend)
        return at_side(images, changes.side)

    def validate(self, done: int, validation: ImageSet, classes: Sequence[int]) -> dict[str, float]:
        """Measure the averaged weights, and keep them unless earlier ones were clearly better.

        Clearly: by more than one standard error (Breiman et al. 1984, section 3.4.3). A rare class
        has few validation images, and the best of several such validations would be an early one
        by chance.

        Args:
            done: finished steps.
            validation: real images of the validation part.
            classes: over which the class-mean accuracy is taken.

        Returns:
            That accuracy in [0, 1], as ``val_balanced``.
        """
        confusion = confusion_matrix(predictions(self._averaged, validation, self.device))
        score = group_accuracy(confusion, classes) or 0.0
        if score >= self.best["score"] - balanced_accuracy_error(confusion):
            weights = {k: v.clone() for k, v in self.average.module.state_dict().items()}
            best = max(score, self.best["score"])
            self.best = {"score": best, "step": done, "weights": weights}
        return {"val_balanced": score}

    @property
    def _averaged(self) -> TappedNet:
        return cast(TappedNet, self.average.module)

    def result(self) -> TappedNet:
        """Return the network to use: the best validated average, or the last without validation."""
        net = self._averaged
        if self.best["weights"]:
            net.load_state_dict(self.best["weights"])
        return self.method.finalize(net)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bit-exact continuation needs; teachers are not part of it."""
        return {
            "method": self.method.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.method.load_state_dict(state["method"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
