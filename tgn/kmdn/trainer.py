"""One step of KMDN: the student is updated, the teacher is not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.data.augmentation import Augmentation, augment, draw_augmentation
from tgn.data.batches import BatchSampler, Prefetcher
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.kmdn.schedule import NETS, TEACHER_OF, NetName, StudentUpdate, student_updates
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import TappedNet
from tgn.models.feature_losses import feature_mse
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of

MOMENTUM = 0.9
Nets = dict[NetName, TappedNet]


class KmdnBatch(NamedTuple):
    """One process's part of a student's batch, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    augmentation: Augmentation


class KmdnTrainer:
    """Steps of head net and tail net, each the student of the other.

    In the warm-up each net is trained on its own group. A student then gets class-balanced batches
    of all classes. Differs from the paper, whose teacher is queried on classes it never learned and
    whose student never sees the other group: here the cross-entropy covers every class, and the
    knowledge of the teacher's group is passed on by its features.

    Args:
        nets: head net and tail net.
        images: all training images.
        num_head: number of head classes, the first in class order.
        settings: of the training.
        device: where to compute.
    """

    def __init__(
        self, nets: Nets, images: ImageSet, num_head: int, settings: DistillSettings, device: Device
    ) -> None:
        self.nets, self.images, self.settings, self.device = nets, images, settings, device
        is_head = images.labels < num_head
        self.own_rows: dict[NetName, Tensor] = {
            "head_net": is_head.nonzero().flatten(),
            "tail_net": (~is_head).nonzero().flatten(),
        }
        self.samplers = {
            name: self._sampler(images.labels[rows], name) for name, rows in self.own_rows.items()
        }
        self.all_rows = self._sampler(images.labels, "all")
        self.batches = Prefetcher(self._batches, settings.steps, in_thread=device.is_gpu)
        self.optimizers = {
            name: torch.optim.SGD(
                net.parameters(),
                settings.lr,
                momentum=MOMENTUM,
                nesterov=True,
                weight_decay=settings.weight_decay,
            )
            for name, net in nets.items()
        }

    def _sampler(self, labels: Tensor, name: str) -> BatchSampler:
        seed = seed_of(self.settings.seed, "kmdn", name)
        return BatchSampler(labels, self.settings.batch_size, balanced=True, seed=seed)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Update every student of this step; losses are those before its update."""
        terms: dict[str, Tensor] = {}
        updates = student_updates(self.settings, step)
        for update, batch in zip(updates, self.batches(step), strict=True):
            terms |= self._update(update, batch)
        return terms

    def _update(self, update: StudentUpdate, batch: KmdnBatch) -> dict[str, Tensor]:
        images = augment(to_pm1(self.device.put(batch.images_u8)), batch.augmentation)
        labels = batch.labels.to(images.device)
        student = self.nets[update.student].train()
        with self.device.autocast():
            output = student(images)
        loss = cross_entropy = F.cross_entropy(output.logits.float(), labels)
        terms = {f"{update.student}_ce": cross_entropy.detach()}
        if update.has_teacher and self.settings.feature_weight:
            distance = feature_mse(
                output.features.float(), self._teacher_features(update, images).float()
            )
            terms[f"{update.student}_mse"] = distance.detach()
            loss = loss + self.settings.feature_weight * distance
        self._optimise(update, loss)
        return terms

    @torch.no_grad()
    def _teacher_features(self, update: StudentUpdate, images: Tensor) -> Tensor:
        """Return the features of the teacher, which is in eval and keeps its batch statistics."""
        with self.device.autocast():
            return self.nets[TEACHER_OF[update.student]].eval()(images).features

    def _optimise(self, update: StudentUpdate, loss: Tensor) -> None:
        optimizer = self.optimizers[update.student]
        for group in optimizer.param_groups:
            group["lr"] = update.lr
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.device.average_gradients(self.nets[update.student].parameters())
        optimizer.step()

    def _batches(self, step: int) -> list[KmdnBatch]:
        """Draw the global batch of each student of a step and return this process's part."""
        return [self._batch(update, step) for update in student_updates(self.settings, step)]

    def _batch(self, update: StudentUpdate, step: int) -> KmdnBatch:
        if update.has_teacher:
            rows = self.all_rows.rows(step)
        else:
            rows = self.own_rows[update.student][self.samplers[update.student].rows(step)]
        random = generator(self.settings.seed, "kmdn", update.student, step)
        own = self.device.mine(torch.arange(len(rows)))
        augmentation = draw_augmentation(len(rows), random).rows(own)
        return KmdnBatch(self.images.batch(rows[own]), self.images.labels[rows[own]], augmentation)

    def state_dict(self) -> dict[str, Any]:
        """Return nets and optimisers."""
        return {
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in NETS:
            self.nets[name].load_state_dict(state["nets"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
