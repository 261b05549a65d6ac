"""Optimisation steps of a detector: images in, named losses summed, weights out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from classify.detection.dataset import DetectionDataset, DetectionImage, decode_image
from classify.detection.distill.base import DetectionTask
from classify.detection.models.backbones import hold_norms
from classify.detection.models.build import make_targets
from classify.detection.settings import DetectSettings, Flips
from tgn.data.batches import Prefetcher
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.optimisation import optimise
from tgn.runtime.seeds import generator

MOMENTUM = 0.9  # of SGD


class DetectionSample(NamedTuple):
    """Pixels and objects of one image of a batch."""

    image_u8: Tensor  # [3, H, W]
    boxes: Tensor  # [N, 4 or 5] in pixels
    labels: Tensor  # [N], 0 for the first class


class DetectorTrainer:
    """Steps of one detector; difficult objects are learned like the others, crowds are not.

    Args:
        task: the losses, with the student.
        data: training images, or tiles.
        settings: of the training.
        device: where it runs.
    """

    def __init__(
        self,
        task: DetectionTask,
        data: DetectionDataset,
        settings: DetectSettings,
        device: Device,
    ) -> None:
        self.task, self.data, self.settings, self.device = task, data, settings, device
        self.batches = Prefetcher(self._load_batch, settings.steps, in_thread=device.is_gpu)
        trained = [p for p in task.parameters() if p.requires_grad]
        self.optimizer = _optimizer(trained, settings)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one optimisation step and return its losses, scalars."""
        target, net = self.device.torch_device, self.task.student
        batch = self.batches(step)
        images = [one.image_u8.to(target).float() / 255 for one in batch]
        targets = [make_targets(net, one.boxes, one.labels) for one in batch]
        targets = [{key: value.to(target) for key, value in one.items()} for one in targets]
        progress = step / self.settings.steps
        self.task.train()
        hold_norms(net.backbone, self.settings.norm)
        losses = self.task(images, targets, progress)
        loss = torch.stack(list(losses.values())).sum()
        lr = self.settings.lr * warmup_cosine(progress)
        optimise(loss, self.optimizer, self.device, lr, self.settings.max_grad_norm)
        return {name: loss.detach() for name, loss in losses.items()}

    def _load_batch(self, step: int) -> list[DetectionSample]:
        """Read the images of a step, flipped at random, and return this process's part."""
        rng = generator(self.settings.seed, "detect", step)
        size = self.settings.batch_size
        rows = torch.randint(len(self.data.images), (size,), generator=rng)
        chances = (torch.rand(size, 2, generator=rng) < 0.5).tolist()
        flips = [drawn_flips(self.settings.flips, *both) for both in chances]
        return [
            flip_sample(load_sample(self.data.images[int(rows[k])]), *flips[k])
            for k in self.device.own_rows(size).tolist()
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the student's weights and the optimiser's state."""
        return {"net": self.task.student.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned."""
        self.task.student.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def _optimizer(trained: list[nn.Parameter], settings: DetectSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        trained, settings.lr, momentum=MOMENTUM, weight_decay=settings.weight_decay
    )


def load_sample(image: DetectionImage, picture: Image.Image | None = None) -> DetectionSample:
    """Read an image or its tile, without crowds; upright boxes are clipped to its border.

    Args:
        image: an image or a tile.
        picture: the whole image, if it is decoded already.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    picture = picture or decode_image(image)
    if image.tile is not None:
        left, top, width, height = image.tile
        picture = picture.crop((left, top, left + width, top + height))
    pixels = np.asarray(picture, dtype=np.uint8)
    image_u8 = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    boxes, labels = image.boxes[~image.crowd], image.labels[~image.crowd]
    if boxes.shape[1] == 4:
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, image_u8.shape[2])
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, image_u8.shape[1])
    return DetectionSample(image_u8, boxes, labels)


def drawn_flips(kind: Flips, first: bool, second: bool) -> tuple[bool, bool]:
    """Return whether an image is flipped left to right and upside down.

    Args:
        kind: of the flips.
        first: true half of the time.
        second: likewise, independent of the first.
    """
    return {
        "both": (first, second),
        "horizontal": (first, False),
        "vertical": (False, first),
        "diagonal": (first, first),
        "none": (False, False),
    }[kind]


def flip_sample(sample: DetectionSample, left_right: bool, up_down: bool) -> DetectionSample:
    """Flip an image with its boxes."""
    image_u8, boxes, labels = sample
    for axis, flips in enumerate((left_right, up_down)):
        if flips:
            length = image_u8.shape[2 - axis]
            image_u8 = image_u8.flip(2 - axis)
            boxes = _flip_boxes(boxes, axis, length)
    return DetectionSample(image_u8, boxes, labels)


def _flip_boxes(boxes: Tensor, axis: int, length: int) -> Tensor:
    boxes = boxes.clone()
    if boxes.shape[1] == 5:
        boxes[:, axis] = length - boxes[:, axis]
        boxes[:, 4] = -boxes[:, 4]
    else:
        boxes[:, [axis, axis + 2]] = length - boxes[:, [axis + 2, axis]]
    return boxes
