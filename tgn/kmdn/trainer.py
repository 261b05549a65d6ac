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
from tgn.kmdn.learner import Learner
from tgn.kmdn.schedule import (
    NETS,
    TEACHER_OF,
    NetName,
    StudentUpdate,
    student_updates,
    warmup_steps,
)
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import Output, TappedNet
from tgn.models.feature_losses import feature_distance
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of

Nets = dict[NetName, TappedNet]


class KmdnBatch(NamedTuple):
    """One process's part of a student's batch, as it is prepared on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    augmentation: Augmentation


class KmdnTrainer:
    """Steps of head net and tail net, each the student of the other.

    In the warm-up each net is trained on its own group. A student then gets class-balanced batches
    of all classes, and the teacher's features count on the images of the teacher's own group: the
    head net has never seen the others when it is teacher first. Differs from the paper, whose
    teacher is queried on classes it never learned and whose student never sees the other group.

    With ``control``, a copy of each net goes on from the warm-up without a teacher, on the same
    batches at the same rates. It takes no part in the exchange and changes nothing of it.

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
        self.num_head = num_head
        self.own_rows: dict[NetName, Tensor] = {
            name: self._own(images.labels, name).nonzero().flatten() for name in NETS
        }
        self.samplers = {
            name: self._sampler(images.labels[rows], name) for name, rows in self.own_rows.items()
        }
        self.all_rows = self._sampler(images.labels, "all")
        self.batches = Prefetcher(self._batches, settings.steps, in_thread=device.is_gpu)
        self.learners = {name: Learner(net, settings, device) for name, net in nets.items()}
        self.controls: dict[NetName, Learner] = {}
        self.before: dict[str, Any] = {}  # accuracies after the warm-up, on the main process

    @property
    def control_nets(self) -> Nets:
        """The nets that had no teacher; without a feature weight those are the nets themselves."""
        if self.settings.control and not self.settings.feature_weight:
            return self.nets
        return {name: learner.net for name, learner in self.controls.items()}

    def _own(self, labels: Tensor, name: NetName) -> Tensor:
        """Return which labels are of a net's own group."""
        return labels < self.num_head if name == "head_net" else labels >= self.num_head

    def _sampler(self, labels: Tensor, name: str) -> BatchSampler:
        seed = seed_of(self.settings.seed, "kmdn", name)
        return BatchSampler(labels, self.settings.batch_size, power=0, seed=seed)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Update every student of this step; losses are those before its update."""
        settings = self.settings
        if settings.control and settings.feature_weight and step == warmup_steps(settings):
            self.controls = {name: learner.copy() for name, learner in self.learners.items()}
        terms: dict[str, Tensor] = {}
        updates = student_updates(settings, step)
        for update, batch in zip(updates, self.batches(step), strict=True):
            images = augment(to_pm1(self.device.put(batch.images_u8)), batch.augmentation)
            labels = batch.labels.to(images.device)
            seed = seed_of(settings.seed, "kmdn update", update.student, step)
            torch.manual_seed(seed)  # networks with dropout: the control's draws are the student's
            terms |= self._update(update, images, labels)
            if self.controls:
                torch.manual_seed(seed)
                terms |= self._update_control(update, images, labels)
        return terms

    def _update(self, update: StudentUpdate, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        student = self.learners[update.student]
        output, loss = self._labels_loss(student, images, labels)
        terms = {f"{update.student}_ce": loss.detach()}
        if update.has_teacher and self.settings.feature_weight:
            distance = self._teacher_distance(update, output, images, labels)
            terms[f"{update.student}_distance"] = distance.detach()
            loss = loss + self.settings.feature_weight * distance
        student.update(loss, update.lr)
        return terms

    def _update_control(
        self, update: StudentUpdate, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        control = self.controls[update.student]
        _, loss = self._labels_loss(control, images, labels)
        control.update(loss, update.lr)
        return {f"{update.student}_control_ce": loss.detach()}

    def _labels_loss(
        self, learner: Learner, images: Tensor, labels: Tensor
    ) -> tuple[Output, Tensor]:
        net = learner.net.train()
        with self.device.autocast():
            output: Output = net(images)
        return output, F.cross_entropy(output.logits.float(), labels)

    def _teacher_distance(
        self, update: StudentUpdate, output: Output, images: Tensor, labels: Tensor
    ) -> Tensor:
        """Return the mean distance to the teacher's features; 0 for images not of its group.

        The mean is over the whole batch, so that processes with different groups agree.
        """
        teacher = TEACHER_OF[update.student]
        rows = self._own(labels, teacher).nonzero().flatten()
        if len(rows) == 0:
            return output.features.new_zeros((), dtype=torch.float32)
        target = self._features(self.nets[teacher].eval(), images[rows])
        kind = self.settings.feature_distance
        return feature_distance(output.features[rows], target, kind).sum() / len(labels)

    @torch.no_grad()
    def _features(self, teacher: TappedNet, images: Tensor) -> Tensor:
        """Return the features of the teacher, which is in eval and keeps its batch statistics."""
        with self.device.autocast():
            return teacher(images).features

    def _batches(self, step: int) -> list[KmdnBatch]:
        """Draw the global batch of each student of a step and return this process's part."""
        return [self._batch(update, step) for update in student_updates(self.settings, step)]

    def _batch(self, update: StudentUpdate, step: int) -> KmdnBatch:
        if update.has_teacher:
            rows = self.all_rows.rows(step)
        else:
            rows = self.own_rows[update.student][self.samplers[update.student].rows(step)]
        random = generator(self.settings.seed, "kmdn", update.student, step)
        own = self.device.own_rows(len(rows))
        augmentation = draw_augmentation(len(rows), random).rows(own)
        return KmdnBatch(self.images.batch(rows[own]), self.images.labels[rows[own]], augmentation)

    def state_dict(self) -> dict[str, Any]:
        """Return nets and controls with their optimisers, and the accuracies of the warm-up."""
        return {
            "learners": {name: one.state_dict() for name, one in self.learners.items()},
            "controls": {name: one.state_dict() for name, one in self.controls.items()},
            "before": self.before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in NETS:
            self.learners[name].load_state_dict(state["learners"][name])
        self.controls = {name: self.learners[name].copy() for name in state["controls"]}
        self.before = state["before"]
        for name, control in self.controls.items():
            control.load_state_dict(state["controls"][name])
