"""Optimisation steps of a detector: images in, named losses summed, weights out."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from classify.detection.data.dataset import DetectionDataset
from classify.detection.data.pasting import Pasting
from classify.detection.data.samples import DetectionSample
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.distill.base import DetectionTask
from classify.detection.models.backbones import hold_norms
from classify.detection.models.build import make_targets
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.best_weights import BestWeights
from classify.detection.training.schedule import learning_rate
from tgn.data.batches import Prefetcher
from tgn.runtime.devices import Device
from tgn.runtime.optimisation import optimise

MOMENTUM = 0.9  # of SGD
LOADING_THREADS = 8  # each reads a batch: the whole file of a tile of DOTA takes half a second


class DetectorTrainer:
    """Steps of one detector; difficult objects are learned like the others, crowds are not.

    Args:
        task: the losses, with the student.
        data: training images, or tiles.
        settings: of the training, with their number of steps.
        device: where it runs.
        pasting: of objects into images, if any.
    """

    def __init__(
        self,
        task: DetectionTask,
        data: DetectionDataset,
        settings: DetectSettings,
        device: Device,
        pasting: Pasting | None = None,
    ) -> None:
        self.task, self.settings, self.device = task, settings, device
        self.samples = TrainingSamples(data, settings, pasting)
        count = settings.steps * settings.accumulation
        self.batches = Prefetcher(
            self._load_batch, count, in_thread=device.is_gpu, ahead=LOADING_THREADS
        )
        self.best = BestWeights(settings.patience)
        trained = [p for p in task.parameters() if p.requires_grad]
        self.optimizer = _optimizer(trained, settings)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one optimisation step and return its losses, scalars, means over its batches."""
        total: dict[str, Tensor] = {}
        lr = learning_rate(self.settings, step)
        losses = self._losses(step, total)
        optimise(losses, self.optimizer, self.device, lr, self.settings.max_grad_norm)
        return total

    def _losses(self, step: int, total: dict[str, Tensor]) -> Iterator[Tensor]:
        """Yield this process's loss of each batch of a step, and add up its terms in ``total``."""
        count = self.settings.accumulation
        for number in range(step * count, (step + 1) * count):
            terms = {name: term / count for name, term in self._terms(number).items()}
            for name, term in terms.items():
                total[name] = total.get(name, torch.zeros_like(term)) + term.detach()
            yield torch.stack(list(terms.values())).sum()

    def _terms(self, number: int) -> Mapping[str, Tensor]:
        """Return the losses of a batch, counted from the first step on."""
        target, net = self.device.torch_device, self.task.student
        batch = self.batches(number)
        images = [one.image_u8.to(target).float() / 255 for one in batch]
        targets = [make_targets(net, one.boxes, one.labels) for one in batch]
        targets = [{key: value.to(target) for key, value in one.items()} for one in targets]
        if side := self.samples.short_side(number):
            net.transform.training_side = side
        self.task.train()
        hold_norms(net.backbone, self.settings.norm)
        step = number // self.settings.accumulation
        return self.task(images, targets, step / self.settings.steps)

    def _load_batch(self, number: int) -> list[DetectionSample]:
        """Return this process's part of the samples of a batch."""
        step, part = divmod(number, self.settings.accumulation)
        size = self.settings.batch_size
        places = self.device.own_rows(size) + part * size
        return self.samples.batch(step, places.tolist())

    def is_finished(self, done: int) -> bool:
        """Return whether looks at the validation part have been without a gain for long enough.

        Args:
            done: finished steps. All processes ask; the main one alone looks.
        """
        if self.settings.patience is None or not self.settings.is_look(done):
            return False
        enough = self.device.is_main and self.best.is_enough
        return bool(self.device.total(torch.tensor(float(enough), device=self.device.torch_device)))

    def state_dict(self) -> dict[str, Any]:
        """Return the student's weights, the best so far and the optimiser's state."""
        return {
            "net": self.task.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned."""
        self.task.student.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best.load_state_dict(state.get("best", {}))  # older versions had no best


def _optimizer(trained: list[nn.Parameter], settings: DetectSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        trained, settings.lr, momentum=MOMENTUM, weight_decay=settings.weight_decay
    )
