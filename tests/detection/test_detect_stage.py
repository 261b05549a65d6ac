"""A detector trained, saved, read and judged on scenes that are drawn here."""

import pytest
import torch
from PIL import Image, ImageDraw

from classify.detection.detectors import detect
from classify.detection.rotated import corners, from_corners, paired_iou
from classify.detection.scenes import Scene, Scenes
from classify.detection.settings import DetectSettings
from classify.detection.stage import CHECKPOINT, load_detector, train_detector
from classify.detection.train import Shown, flipped, shown
from tgn.core.errors import UserError
from tgn.core.progress import Silent

QUICK = {"device": "cpu", "size": 96, "batch_size": 2, "log_every": 1, "width": 32}
DETECTORS = ["retinanet", "faster-rcnn", "gfl", "rotated-retinanet"]


def drawn_scenes(folder, count: int, rotated: bool = False) -> Scenes:
    """Light bars and dark discs on grey, bars turned if wanted; the last image shows nothing."""
    scenes, draw = [], torch.Generator().manual_seed(0)
    for number in range(count):
        picture = Image.new("RGB", (96, 80), (120, 125, 118))
        ink, boxes, labels = ImageDraw.Draw(picture), [], []
        for x in (10, 55) if number < count - 1 else ():
            y = int(torch.randint(5, 45, (), generator=draw))
            side = int(torch.randint(18, 28, (), generator=draw))
            label = int(torch.randint(2, (), generator=draw))
            turn = float(torch.rand((), generator=draw)) * 3 if rotated and not label else 0.0
            box = [x + side / 2, y + side / 2, side, side if label else 0.4 * side, turn]
            shape = corners(torch.tensor([box]))[0]
            if label:
                ink.ellipse((x, y, x + side, y + side), (40, 30, 60))
            else:
                ink.polygon([tuple(corner) for corner in shape.tolist()], (230, 220, 90))
            boxes.append(box if rotated else [*shape.amin(0).tolist(), *shape.amax(0).tolist()])
            labels.append(label)
        path = folder / f"{number:02d}.png"
        picture.save(path)
        scenes.append(
            Scene(
                path,
                torch.tensor(boxes).view(-1, 5 if rotated else 4),
                torch.tensor(labels, dtype=torch.int64),
                torch.zeros(len(labels), dtype=torch.bool),
            )
        )
    return Scenes(("bar", "disc"), tuple(scenes))


@pytest.mark.parametrize("ways", [(True, False), (False, True), (True, True)])
def test_mirroring_moves_the_boxes_with_the_pixels(tmp_path, ways):
    scene = drawn_scenes(tmp_path, 2).scenes[0]
    plain, mirrored = shown(scene), flipped(shown(scene), *ways)
    for one, box in zip((plain, mirrored), (plain.boxes[0], mirrored.boxes[0]), strict=True):
        left, top, right, bottom = box.int().tolist()
        middle = one.image_u8[:, (top + bottom) // 2, (left + right) // 2]
        assert not torch.equal(middle, torch.tensor([120, 125, 118], dtype=torch.uint8))
    sides = [one.boxes[0, 2:] - one.boxes[0, :2] for one in (plain, mirrored)]
    torch.testing.assert_close(*sides)


@pytest.mark.parametrize("ways", [(True, False), (False, True), (True, True)])
def test_mirroring_turns_rotated_boxes_with_the_pixels(ways):
    image = torch.zeros(3, 80, 96, dtype=torch.uint8)
    one = Shown(image, torch.tensor([[30.0, 20.0, 30.0, 6.0, 0.4]]), torch.tensor([0]))
    expected = corners(one.boxes)[0]
    for axis, length in ((0, 96), (1, 80)):
        if ways[axis]:
            expected[:, axis] = length - expected[:, axis]
    found = flipped(one, *ways).boxes
    overlap = paired_iou(found, from_corners(expected[None])).item()
    assert overlap == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_detector_goes_on_where_it_stopped_and_is_read_again(tmp_path, detector):
    data = drawn_scenes(tmp_path, 4, rotated=detector == "rotated-retinanet")
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
@pytest.mark.parametrize("detector", DETECTORS)
def test_sixteen_images_are_learned_by_heart(tmp_path, detector):
    data = drawn_scenes(tmp_path, 16, rotated=detector == "rotated-retinanet")
    settings = DetectSettings(detector=detector, steps=300, **{**QUICK, "batch_size": 4})
    result = train_detector((data, data), tmp_path / "x", settings, Silent())
    assert result["voc12"]["ap50"] >= 0.9
