"""The one training of classifiers, whatever the method."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from classify.batches import Mixture
from classify.evaluate import draw_confusion, evaluate
from classify.lessons import Lesson, images_of
from classify.methods.base import Method
from classify.methods.plain import PlainMethod
from classify.settings import TrainSettings
from tgn.core.augmentation import augment
from tgn.core.averaging import averaged
from tgn.core.backbones import TappedNet, build_backbone, save_classifier
from tgn.core.data import ImageSet
from tgn.core.devices import Device
from tgn.core.files import read_json, write_json, write_text
from tgn.core.images import to_pm1
from tgn.core.loops import Job, run_steps
from tgn.core.measures import balanced_accuracy_error, confusion_matrix, group_accuracy
from tgn.core.progress import Progress
from tgn.core.runs import Run
from tgn.core.seeds import generator, seed_of

MOMENTUM, WARMUP = 0.9, 0.05
AVERAGE_DECAY = 0.98


class ClassifierTrainer:
    """Steps of a student under a method; its averaged weights are the result."""

    def __init__(
        self,
        net: TappedNet,
        method: Method,
        mixture: Mixture,
        settings: TrainSettings,
        device: Device,
    ) -> None:
        self.net, self.method, self.mixture = net, method, mixture
        self.settings, self.device = settings, device
        self.average = averaged(net, AVERAGE_DECAY)
        self.best: dict[str, Any] = {"score": -1.0, "step": 0, "weights": {}}
        self.optimizer = torch.optim.SGD(
            net.parameters(),
            settings.lr,
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        late = step >= self.settings.generated_until * self.settings.steps
        images_u8, labels = self.mixture.batch(
            self.settings.batch_size, self.settings.seed, step, late
        )
        mine = self.device.mine(torch.arange(len(labels)))
        draw = generator(self.settings.seed, "classify augment", step, self.device.rank)
        images = augment(self.device.put(to_pm1(images_u8[mine])), draw)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * _schedule(step / self.settings.steps)
        self.net.train()
        with self.device.autocast():
            output = self.method(images, labels[mine].to(images.device))
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        self.device.average_gradients(self.net.parameters())
        self.optimizer.step()
        self.average.update_parameters(self.net)
        return {name: part.detach() for name, part in output.parts.items()}

    def remember_if_best(self, done: int, validation: ImageSet) -> dict[str, float]:
        """Keep the averaged weights unless earlier ones did better on the validation part.

        Better by more than one standard error (Breiman et al. 1984, section 3.4.3): the validation
        images of a rare class can be counted on one hand, and the best of several looks at so few
        would be a lucky early one.
        """
        confusion = confusion_matrix(self.average.module, validation, self.device)
        score = group_accuracy(confusion, range(len(confusion))) or 0.0
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
        return net

    def state_dict(self) -> dict[str, Any]:
        """Return everything a bit-exact continuation needs."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]


def train_classifier(
    run: Run, lesson: Lesson, settings: TrainSettings, progress: Progress
) -> dict[str, Any]:
    """Train, choose, test and write one classifier; return the content of ``metrics.json``.

    The step is chosen on the validation part of the training data if every class has images
    there; otherwise the averaged weights of the last step are taken, since a choice by some
    classes would be made at the cost of the others. Generated images only ever train.

    Raises:
        DataError: if there are no generated images where some were asked for.
    """
    device, split = Device(settings), run.split()
    job = Job(lesson.directory, device, progress, lesson.resume)
    images = images_of(lesson, run, settings)
    validation, test = (
        split.image_set(part, run.path, settings.size, settings.bands) for part in ("val", "test")
    )
    mixture = Mixture(
        images.main,
        images.mixed_in,
        settings.sampling,
        settings.generated_share,
        split.num_classes,
    )
    torch.manual_seed(seed_of(settings.seed, "classifier init"))
    net = device.place(build_backbone(settings, tuple(e.folder for e in split.classes)))
    method = PlainMethod(net, settings.loss, mixture.prior.float())
    trainer = ClassifierTrainer(net, method, mixture, settings, device)
    chooses = all(entry.val for entry in split.classes)
    every = max(settings.steps // settings.looks, 1)

    def after_step(done: int) -> dict[str, float] | None:
        if chooses and done % every == 0:
            return trainer.remember_if_best(done, validation)
        return None

    run_steps(trainer, settings, job, title=lesson.directory.name, after_step=after_step)
    best = trainer.result()
    if device.is_main:
        rule = "last look within one error of the best on validation" if chooses else "last step"
        facts = {
            "chosen": {"rule": rule, "step": trainer.best["step"] or settings.steps},
            "generated_images": images.num_generated,
        }
        _write(lesson.directory, best, {**evaluate(best, test, split, device), **facts}, settings)
    device.wait()
    return read_json(lesson.directory / "metrics.json")


def _write(
    directory: Path, net: TappedNet, result: dict[str, Any], settings: TrainSettings
) -> None:
    """Write the classifier and what it is worth; ``metrics.json`` last, as the sign of the end."""
    save_classifier(directory / "classifier.safetensors", net)
    write_text(directory / "settings.yaml", settings.explained() + "\n")
    draw_confusion(result, directory / "confusion.png")
    write_json(directory / "metrics.json", result)


def _schedule(share: float) -> float:
    """Rise over the first twentieth of the steps, then half a cosine; share in [0, 1)."""
    if share < WARMUP:
        return (share + 0.01) / (WARMUP + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (share - WARMUP) / (1 - WARMUP)))
