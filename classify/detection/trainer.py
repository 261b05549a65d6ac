"""The loop of detectors: scenes in, named losses summed, weights out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from classify.detection.dataset import Scene, Scenes, picture_of
from classify.detection.distill.base import Teaching
from classify.detection.models.build import targets_for
from classify.detection.settings import DetectSettings
from tgn.data.batches import Ahead
from tgn.runtime.devices import Device
from tgn.runtime.lr_schedule import warmup_cosine
from tgn.runtime.seeds import generator

MOMENTUM = 0.9  # of SGD


class Shown(NamedTuple):
    """One image of a batch."""

    image_u8: Tensor  # [3, H, W]
    boxes: Tensor  # [N, 4 or 5] in its pixels
    labels: Tensor  # [N]


class DetectorTrainer:
    """Steps of one detector; difficult objects are learned like the others, crowds are not."""

    def __init__(
        self, teaching: Teaching, data: Scenes, settings: DetectSettings, device: Device
    ) -> None:
        self.teaching, self.data, self.settings, self.device = teaching, data, settings, device
        self.batches = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        self.trained = [p for p in teaching.parameters() if p.requires_grad]
        self.optimizer = _optimizer(self.trained, settings)

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        target, net = self.device.torch_device, self.teaching.student
        batch = self.batches(step)
        images = [one.image_u8.to(target).float() / 255 for one in batch]
        targets = [targets_for(net, one.boxes, one.labels) for one in batch]
        targets = [{key: value.to(target) for key, value in one.items()} for one in targets]
        progress = step / self.settings.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * warmup_cosine(progress)
        losses = self.teaching.train()(images, targets, progress)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self.device.average_gradients(self.trained)
        nn.utils.clip_grad_norm_(self.trained, self.settings.clip)
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _draw(self, step: int) -> list[Shown]:
        """Read the images of a step, each mirrored or not, and return this process's part."""
        draw = generator(self.settings.seed, "detect", step)
        size = self.settings.batch_size
        rows = torch.randint(len(self.data.scenes), (size,), generator=draw)
        flips = torch.rand(size, 2, generator=draw) < 0.5
        mine = self.device.mine(torch.arange(size)).tolist()
        return [
            flipped(shown(self.data.scenes[int(rows[k])]), bool(flips[k, 0]), bool(flips[k, 1]))
            for k in mine
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the student's weights and the optimiser."""
        return {"net": self.teaching.student.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.teaching.student.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def _optimizer(trained: list[nn.Parameter], settings: DetectSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        trained, settings.lr, momentum=MOMENTUM, weight_decay=settings.weight_decay
    )


def shown(scene: Scene, picture: Image.Image | None = None) -> Shown:
    """Read a scene without its crowds; upright boxes are cut at the border of the image.

    Args:
        scene: an image or a patch.
        picture: the whole image, if it is decoded already.
    """
    picture = picture or picture_of(scene)
    if scene.window is not None:
        left, top, width, height = scene.window
        picture = picture.crop((left, top, left + width, top + height))
    pixels = np.asarray(picture, dtype=np.uint8)
    image_u8 = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    boxes, labels = scene.boxes[~scene.crowd], scene.labels[~scene.crowd]
    if boxes.shape[1] == 4:
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, image_u8.shape[2])
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, image_u8.shape[1])
    return Shown(image_u8, boxes, labels)


def flipped(one: Shown, left_right: bool, up_down: bool) -> Shown:
    """Mirror an image with its boxes; seen from above, either way is natural."""
    image_u8, boxes, labels = one
    for axis, is_wanted in enumerate((left_right, up_down)):
        if is_wanted:
            length = image_u8.shape[2 - axis]
            image_u8 = image_u8.flip(2 - axis)
            boxes = _mirrored(boxes, axis, length)
    return Shown(image_u8, boxes, labels)


def _mirrored(boxes: Tensor, axis: int, length: int) -> Tensor:
    boxes = boxes.clone()
    if boxes.shape[1] == 5:
        boxes[:, axis] = length - boxes[:, axis]
        boxes[:, 4] = -boxes[:, 4]
    else:
        boxes[:, [axis, axis + 2]] = length - boxes[:, [axis + 2, axis]]
    return boxes
