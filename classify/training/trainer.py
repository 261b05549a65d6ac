"""The one loop of classifiers, whatever the method: batches in, averaged weights out."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from classify.methods.base import Batch, Method
from classify.training.mixing import Blend, blended, draw_blend
from classify.training.sampling import Drawn, Wanted
from classify.training.settings import TrainSettings
from tgn.data.augmentation import Augmentation, augment, draw_augmentation
from tgn.data.batches import Ahead
from tgn.data.image_set import ImageSet
from tgn.data.images import to_pm1
from tgn.metrics.classification import balanced_accuracy_error, confusion_matrix, group_accuracy
from tgn.models.backbones import TappedNet
from tgn.models.inference import predictions
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.moving_average import averaged
from tgn.runtime.seeds import generator

MOMENTUM = 0.9
AVERAGE_DECAY = 0.98


class Draws(Protocol):
    """Where batches come from."""

    counts: Tensor

    def batch(self, wanted: Wanted) -> Drawn:
        """Return the images of a step."""


class Look(NamedTuple):
    """How this process sees the images of a global batch."""

    mine: Tensor  # its rows
    augmentation: Augmentation  # of all of them
    blend: Blend | None  # how they are mixed


class ClassifierTrainer:
    """Steps of a student under a method; its averaged weights are the result."""

    def __init__(
        self, method: Method, mixture: Draws, settings: TrainSettings, device: Device
    ) -> None:
        self.method, self.mixture = method, mixture
        self.settings, self.device = settings, device
        self.drawn = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        self.average = averaged(method.student, AVERAGE_DECAY)
        self.best: dict[str, Any] = {"score": -1.0, "step": 0, "weights": {}}
        self.trained = [p for p in method.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(
            self.trained,
            settings.lr,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        weights = self.method.class_weights()
        drawn = self.drawn(step) if weights is None else self._draw(step, weights)
        progress = self._progress(step)
        batch = self._batch(drawn, step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * warmup_cosine(progress)
        self.method.train()
        with self.device.autocast():
            output = self.method(batch)
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        self.device.average_gradients(self.trained)
        self.optimizer.step()
        self.average.update_parameters(self.method.student)
        return {name: part.detach() for name, part in output.parts.items()}

    def _draw(self, step: int, class_weights: Tensor | None = None) -> Drawn:
        wanted = self.settings.batch_size, self.settings.seed, step, self._progress(step)
        return self.mixture.batch(Wanted(*wanted, self.settings.generated_until, class_weights))

    def _progress(self, step: int) -> float:
        return step / self.settings.steps

    def _batch(self, drawn: Drawn, step: int, progress: float) -> Batch:
        """Augment and mix this process's part of what was drawn."""
        size = len(drawn.labels)
        mine, blend = self.device.mine(torch.arange(size)), None
        if self.settings.mixing != "none":
            blend = draw_blend(
                self.settings.mixing,
                drawn.labels,
                self.mixture.counts,
                self.settings.mixing_alpha,
                generator(self.settings.seed, "classify mix", step),
            )
        draw = generator(self.settings.seed, "classify augment", step)
        look = Look(mine, draw_augmentation(size, draw), blend)
        images = self._seen(drawn.images_u8, look)
        paired = None if drawn.paired_u8 is None else self._seen(drawn.paired_u8, look)
        put = images.device
        own, share = drawn.labels[mine].to(put), torch.ones(len(mine), device=put)
        partners = own
        if blend is not None:
            partners, share = drawn.labels[blend.partner[mine]].to(put), blend.share[mine].to(put)
        weight = torch.where(drawn.is_generated[mine], self.settings.generated_weight, 1.0).to(put)
        return Batch(images, own, partners, share, weight, drawn.prior, progress, paired)

    def _seen(self, images_u8: Tensor, look: Look) -> Tensor:
        """Augment and mix; two sensors' views of a scene are turned, shifted and mixed alike."""

        def augmented(rows: Tensor) -> Tensor:
            images = to_pm1(self.device.put(images_u8[rows]))
            return augment(images, look.augmentation.rows(rows))

        if look.blend is None:
            return augmented(look.mine)
        return blended(augmented(look.mine), augmented(look.blend.partner[look.mine]), look.blend)

    def remember_if_best(
        self, done: int, validation: ImageSet, classes: Sequence[int]
    ) -> dict[str, float]:
        """Keep the averaged weights unless earlier ones did better on the validation part.

        Better by more than one standard error (Breiman et al. 1984, section 3.4.3): the validation
        images of a rare class can be counted on one hand, and the best of several looks at so few
        would be a lucky early one.
        """
        confusion = confusion_matrix(predictions(self.average.module, validation, self.device))
        score = group_accuracy(confusion, classes) or 0.0
        if score >= self.best["score"] - balanced_accuracy_error(confusion):
            weights = {k: v.clone() for k, v in self.average.module.state_dict().items()}
            best = max(score, self.best["score"])
            self.best = {"score": best, "step": done, "weights": weights}
        return {"val_balanced": score}

    def result(self) -> TappedNet:
        """Return the network to use: the best averaged one, or the last where none was chosen."""
        net = cast(TappedNet, self.average.module)
        if self.best["weights"]:
            net.load_state_dict(self.best["weights"])
        return self.method.finished(net)

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bit-exact continuation needs; teachers are no part of it."""
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
