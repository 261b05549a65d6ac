"""The loop of detectors: scenes in, the detector's own losses summed, weights out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from classify.detection.detectors import targets_for
from classify.detection.scenes import Scene, Scenes
from classify.detection.settings import DetectSettings
from classify.train import MOMENTUM, schedule
from tgn.core.data import Ahead
from tgn.core.devices import Device
from tgn.core.images import read_image
from tgn.core.seeds import generator


class Shown(NamedTuple):
    """One image of a batch."""

    image_u8: Tensor  # [3, H, W]
    boxes: Tensor  # [N, 4] in its pixels
    labels: Tensor  # [N]


class DetectorTrainer:
    """Steps of one detector; difficult objects are learned like the others."""

    def __init__(
        self, net: nn.Module, data: Scenes, settings: DetectSettings, device: Device
    ) -> None:
        self.net, self.data, self.settings, self.device = net, data, settings, device
        self.batches = Ahead(self._draw, settings.steps, in_thread=device.is_gpu)
        self.trained = [p for p in net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(
            self.trained, settings.lr, momentum=MOMENTUM, weight_decay=settings.weight_decay
        )

    def train_step(self, step: int) -> Mapping[str, Tensor]:
        """Do one step."""
        target = self.device.torch_device
        batch = self.batches(step)
        images = [one.image_u8.to(target).float() / 255 for one in batch]
        targets = [targets_for(self.net, one.boxes, one.labels) for one in batch]
        targets = [{key: value.to(target) for key, value in one.items()} for one in targets]
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * schedule(step / self.settings.steps)
        losses = self.net.train()(images, targets)
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
        mirrored = torch.rand(size, generator=draw) < 0.5
        mine = self.device.mine(torch.arange(size)).tolist()
        return [shown(self.data.scenes[int(rows[k])], bool(mirrored[k])) for k in mine]

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def shown(scene: Scene, mirrored: bool = False) -> Shown:
    """Read a scene with upright boxes; mirrored: left and right change places."""
    pixels = np.asarray(read_image(scene.image)[0], dtype=np.uint8)
    image_u8 = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    width = image_u8.shape[2]
    boxes = scene.boxes.clone()
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, image_u8.shape[1])
    if mirrored:
        image_u8 = image_u8.flip(2)
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return Shown(image_u8, boxes, scene.labels)
