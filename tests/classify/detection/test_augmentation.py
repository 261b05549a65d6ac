"""Quarter turns and mosaics: boxes go with the pixels."""

import pytest
import torch
from PIL import Image

from classify.detection.boxes.polygons import fit_rectangles
from classify.detection.boxes.rotated import paired_iou, to_corners
from classify.detection.data.augmentation import turn_sample
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.mosaic import GREY, make_mosaic
from classify.detection.data.samples import DetectionSample
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.settings.detector import DetectSettings

UPRIGHT = torch.tensor([[10.0, 20, 26, 29]])


def sample_of(height, width, boxes, ink=255):
    """Draw the upright boxes in one colour on black."""
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    for left, top, right, bottom in boxes.int().tolist():
        image[:, top:bottom, left:right] = ink
    return DetectionSample(image, boxes, torch.zeros(len(boxes), dtype=torch.int64))


def bright(image):
    """Return the box round the pixels that are not black."""
    rows, columns = (image[0] > 0).nonzero().unbind(1)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("quarters", range(4))
def test_quarter_turns_move_the_boxes_with_the_pixels(quarters):
    turned = turn_sample(sample_of(48, 64, UPRIGHT), quarters)
    assert turned.image_u8.shape == ((3, 64, 48) if quarters % 2 else (3, 48, 64))
    assert turned.boxes.tolist() == [bright(turned.image_u8)]


def test_quarter_turns_of_rotated_boxes_turn_their_corners():
    boxes = torch.tensor([[30.0, 20, 30, 6, 0.4], [12, 15, 9, 8, -1.2]])
    one = DetectionSample(torch.zeros(3, 48, 64, dtype=torch.uint8), boxes, torch.zeros(2).long())
    corners = to_corners(boxes)
    for quarters, length in ((1, 64), (2, 48), (3, 64)):
        x, y = corners.unbind(-1)
        corners = torch.stack((y, length - x), dim=-1)
        found = turn_sample(one, quarters).boxes
        overlap = paired_iou(found, fit_rectangles(corners.double()).float())
        assert overlap.tolist() == pytest.approx([1, 1], abs=1e-4)


def test_every_turn_is_drawn_and_flips_are_as_without(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "x.png")
    no = torch.zeros(1, dtype=torch.bool)
    image = DetectionImage(tmp_path / "x.png", UPRIGHT, torch.tensor([0]), no, no)
    samples = TrainingSamples(
        DetectionDataset(("a",), (image,)), DetectSettings(quarter_turns=True, flips="none")
    )
    found = {tuple(samples.batch(step, [0])[0].boxes[0].tolist()) for step in range(24)}
    expected = {
        tuple(turn_sample(sample_of(48, 64, UPRIGHT), k).boxes[0].tolist()) for k in range(4)
    }
    assert found == expected


def test_a_mosaic_has_the_boxes_of_what_it_shows():
    sizes = ((48, 64), (80, 64), (48, 100), (20, 16))
    samples = [
        sample_of(height, width, torch.tensor([[3.0, 4, 13, 12]]), ink=200 + k)
        for k, (height, width) in enumerate(sizes)
    ]
    shown = set()
    for seed in range(30):
        made = make_mosaic(samples, alike=True, rng=torch.Generator().manual_seed(seed))
        assert made.image_u8.shape == (3, 48, 64)
        assert len(made.boxes) == len(made.labels)
        for left, top, right, bottom in made.boxes.int().tolist():
            part = made.image_u8[0, top:bottom, left:right]
            ink = int(part.max())
            assert (part == ink).all()
            assert 40 < part.numel() <= 80  # more than half of 10 x 8
            shown.add(ink)
            inside = (made.image_u8[0] == ink).nonzero()
            assert len(inside) == part.numel()  # clipped, not cut short
    assert shown == {200, 201, 202, 203}
    assert bool((made.image_u8 == GREY).any())  # the fourth is smaller than its quarter


def test_pictures_of_other_sizes_are_scaled_as_the_network_sees_them():
    small = sample_of(20, 40, torch.tensor([[10.0, 5, 20, 15]]))
    large = sample_of(40, 80, torch.tensor([[20.0, 10, 40, 30]]))
    areas = set()
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        made = make_mosaic([small, large, large, large], alike=False, rng=rng)
        assert made.image_u8.shape == (3, 20, 40)
        areas |= set((made.boxes[:, 2:] - made.boxes[:, :2]).prod(dim=1).tolist())
    assert max(areas) <= 100.01  # 10 x 10 in all four, not 20 x 20


def test_rotated_boxes_of_a_mosaic_keep_their_shape():
    boxes = torch.tensor([[30.0, 20, 12, 6, 0.4], [12, 15, 9, 8, -1.2]])
    one = DetectionSample(torch.zeros(3, 48, 64, dtype=torch.uint8), boxes, torch.arange(2))
    for seed in range(10):
        made = make_mosaic([one] * 4, True, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(made.boxes[:, 2:], boxes[made.labels, 2:])
    assert len(made.boxes)
    empty = DetectionSample(one.image_u8, boxes[:0], torch.arange(0))
    assert make_mosaic([empty] * 4, True, torch.Generator()).boxes.shape == (0, 5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_of_mosaics_is_as_set(tmp_path, share):
    no, images = torch.zeros(1, dtype=torch.bool), []
    for k in range(4):
        Image.new("RGB", (32, 32), (50 * k, 0, 0)).save(tmp_path / f"{k}.png")
        box = torch.tensor([[0.0, 0, 32, 32]])
        images.append(DetectionImage(tmp_path / f"{k}.png", box, torch.tensor([0]), no, no))
    data = DetectionDataset(("a",), tuple(images))
    samples = TrainingSamples(data, DetectSettings(mosaic=share, batch_size=40))
    batch = samples.batch(0, list(range(40)))
    mixed = sum(len(one.image_u8[0].unique()) > 1 for one in batch)
    assert {0.0: mixed == 0, 0.5: 8 <= mixed <= 30, 1.0: mixed >= 35}[share]
    again = samples.batch(0, [7])[0]
    assert torch.equal(again.image_u8, batch[7].image_u8)
