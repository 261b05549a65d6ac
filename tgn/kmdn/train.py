"""One step of KMDN: who is student learns, who is teacher stays as it is."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tgn.data.augmentation import Augmentation, augment, draw_augmentation
from tgn.data.batches import Ahead, BatchSampler
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.kmdn.schedule import NETS, OTHER, NetName, Turn, turns
from tgn.kmdn.settings import DistillSettings
from tgn.models.backbones import TappedNet
from tgn.models.feature_losses import feature_mse
from tgn.runtime.devices import Device
from tgn.runtime.seeds import generator, seed_of

MOMENTUM = 0.9
Nets = dict[NetName, TappedNet]


class Drawn(NamedTuple):
    """One process's part of a student's batch, as it is drawn on the CPU."""

    images_u8: Tensor  # [B, bands, H, W]
    labels: Tensor  # [B]
    augmentation: Augmentation


class KmdnTrainer:
    """Steps of head net and tail net, each the student of the other.

    In the warm-up each net sees its own group. A student then sees class-balanced batches of all
    classes. Differs from the paper, whose teacher is asked about classes it never learned and
    whose student never sees the other group: here the cross-entropy covers every class, and the
    teacher's features bring what its group's images taught it.
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
        self.drawn = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
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
        """Let every student of this step learn; losses are those before its update."""
        terms: dict[str, Tensor] = {}
        for turn, drawn in zip(turns(self.settings, step), self.drawn(step), strict=True):
            terms |= self._learn(turn, drawn)
        return terms

    def _learn(self, turn: Turn, drawn: Drawn) -> dict[str, Tensor]:
        images = augment(to_pm1(self.device.put(drawn.images_u8)), drawn.augmentation)
        labels = drawn.labels.to(images.device)
        student = self.nets[turn.student].train()
        with self.device.autocast():
            output = student(images)
        loss = cross_entropy = F.cross_entropy(output.logits.float(), labels)
        terms = {f"{turn.student}_ce": cross_entropy.detach()}
        if turn.has_teacher and self.settings.feature_weight:
            distance = feature_mse(output.features.float(), self._taught(turn, images).float())
            terms[f"{turn.student}_mse"] = distance.detach()
            loss = loss + self.settings.feature_weight * distance
        self._descend(turn, loss)
        return terms

    @torch.no_grad()
    def _taught(self, turn: Turn, images: Tensor) -> Tensor:
        """Return the teacher's features; it is in eval and keeps its batch statistics."""
        with self.device.autocast():
            return self.nets[OTHER[turn.student]].eval()(images).features

    def _descend(self, turn: Turn, loss: Tensor) -> None:
        optimizer = self.optimizers[turn.student]
        for group in optimizer.param_groups:
            group["lr"] = turn.lr
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.device.average_gradients(self.nets[turn.student].parameters())
        optimizer.step()

    def _draw(self, step: int) -> list[Drawn]:
        """Draw the global batch of each student of a step and return this process's part."""
        return [self._draw_for(turn, step) for turn in turns(self.settings, step)]

    def _draw_for(self, turn: Turn, step: int) -> Drawn:
        if turn.has_teacher:
            rows = self.all_rows.rows(step)
        else:
            rows = self.own_rows[turn.student][self.samplers[turn.student].rows(step)]
        draw = generator(self.settings.seed, "kmdn", turn.student, step)
        mine = self.device.mine(torch.arange(len(rows)))
        augmentation = draw_augmentation(len(rows), draw).rows(mine)
        return Drawn(self.images.batch(rows[mine]), self.images.labels[rows[mine]], augmentation)

    def state_dict(self) -> dict[str, Any]:
        """Return nets and optimisers."""
        return {
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimizers": {name: one.state_dict() for name, one in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        for name in NETS:
            self.nets[name].load_state_dict(state["nets"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
