"""A detector trained, saved, read and judged on scenes that are drawn here."""

import pytest
import torch
from PIL import Image, ImageDraw

from classify.detection.detectors import detect
from classify.detection.scenes import Scene, Scenes
from classify.detection.settings import DetectSettings
from classify.detection.stage import CHECKPOINT, load_detector, train_detector
from classify.detection.train import shown
from tgn.core.errors import UserError
from tgn.core.progress import Silent

QUICK = {"device": "cpu", "size": 96, "batch_size": 2, "log_every": 1}


def drawn_scenes(folder, count: int) -> Scenes:
    """Light squares and dark discs on grey; the last image shows nothing."""
    scenes, draw = [], torch.Generator().manual_seed(0)
    for number in range(count):
        picture = Image.new("RGB", (96, 80), (120, 125, 118))
        ink, boxes, labels = ImageDraw.Draw(picture), [], []
        for x in (10, 55) if number < count - 1 else ():
            y = int(torch.randint(5, 45, (), generator=draw))
            side = int(torch.randint(18, 28, (), generator=draw))
            label = int(torch.randint(2, (), generator=draw))
            shape = (x, y, x + side, y + side)
            if label:
                ink.ellipse(shape, (40, 30, 60))
            else:
                ink.rectangle(shape, (230, 220, 90))
            boxes.append([float(value) for value in shape])
            labels.append(label)
        path = folder / f"{number:02d}.png"
        picture.save(path)
        scenes.append(
            Scene(
                path,
                torch.tensor(boxes).view(-1, 4),
                torch.tensor(labels, dtype=torch.int64),
                torch.zeros(len(labels), dtype=torch.bool),
            )
        )
    return Scenes(("square", "disc"), tuple(scenes))


def test_mirroring_moves_the_boxes_with_the_pixels(tmp_path):
    scene = drawn_scenes(tmp_path, 2).scenes[0]
    plain, mirrored = shown(scene), shown(scene, mirrored=True)
    for one, box in zip((plain, mirrored), (plain.boxes[0], mirrored.boxes[0]), strict=True):
        left, top, right, bottom = box.int().tolist()
        middle = one.image_u8[:, (top + bottom) // 2, (left + right) // 2]
        assert not torch.equal(middle, torch.tensor([120, 125, 118], dtype=torch.uint8))
    torch.testing.assert_close(mirrored.boxes[0, 2] - mirrored.boxes[0, 0],
                               plain.boxes[0, 2] - plain.boxes[0, 0])  # fmt: skip


@pytest.mark.parametrize("detector", ["retinanet", "faster-rcnn"])
def test_a_detector_goes_on_where_it_stopped_and_is_read_again(tmp_path, detector):
    data = drawn_scenes(tmp_path, 4)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    settings = DetectSettings(detector=detector, steps=4, **QUICK)
    result = train_detector((data, data), straight, settings, Silent())
    assert set(result) >= {"voc07", "voc12", "coco"}
    first = DetectSettings(detector=detector, steps=4, save_every=2, **QUICK)

    class Stops(Silent):
        def advance(self, count: int = 1, note: str = "") -> None:
            self.steps = getattr(self, "steps", 0) + count
            if self.steps == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_detector((data, data), broken, first, Stops())
    train_detector((data, data), broken, first, Silent())
    nets = [load_detector(folder / CHECKPOINT)[0] for folder in (straight, broken)]
    for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    image = torch.rand(3, 80, 96)
    assert torch.equal(detect(nets[0], [image])[0].boxes, detect(nets[1], [image])[0].boxes)


def test_another_file_is_no_detector(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"format": "other"})
    with pytest.raises(UserError, match="no detector"):
        load_detector(tmp_path / "x.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["retinanet", "faster-rcnn"])
def test_sixteen_images_are_learned_by_heart(tmp_path, detector):
    data = drawn_scenes(tmp_path, 16)
    settings = DetectSettings(detector=detector, steps=300, **{**QUICK, "batch_size": 4})
    result = train_detector((data, data), tmp_path / "x", settings, Silent())
    assert result["voc12"]["ap50"] >= 0.9
