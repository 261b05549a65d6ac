"""Names in pictures: inside, apart and readable; charts and the order of images."""

import pytest
import torch
from PIL import Image, ImageDraw

from classify.detection.data.dataset import DetectionDataset
from classify.detection.evaluation import text_on_pictures
from classify.detection.evaluation.chosen_images import choose_images
from classify.detection.evaluation.inference import unlabelled
from classify.detection.evaluation.text_on_pictures import (
    BLACK,
    WHITE,
    BoxLabel,
    readable_on,
    text_size,
    write_labels,
)
from tgn.runtime.errors import UserError


def square(x: float, y: float, side: float = 12) -> list[tuple[float, float]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def _share(corners, place) -> float:
    """Return the share of a square of 12 pixels that a rectangle covers."""
    (left, top), _, (right, bottom), _ = corners
    width = min(right, place[2]) - max(left, place[0])
    height = min(bottom, place[3]) - max(top, place[1])
    return max(width, 0) * max(height, 0) / 144


@pytest.fixture
def rectangles(monkeypatch):
    """Return where labels are written."""
    found, draw = [], ImageDraw.ImageDraw.rectangle
    monkeypatch.setattr(
        text_on_pictures.ImageDraw.ImageDraw,
        "rectangle",
        lambda self, place, **more: found.append(place) or draw(self, place, **more),
    )
    return found


def test_labels_stay_in_the_picture_and_apart(rectangles):
    picture = Image.new("RGB", (300, 200), (90, 90, 90))
    random = torch.Generator().manual_seed(0)
    places = torch.rand(60, 2, generator=random) * torch.tensor([320.0, 220.0]) - 10
    labels = [BoxLabel("plane 0.87", square(*one), (255, 220, 0)) for one in places.tolist()]
    written = write_labels(picture, labels)
    assert written == len(rectangles)
    assert 5 < written < 60  # where they would cover others, or boxes, they are left out
    for k, (left, top, right, bottom) in enumerate(rectangles):
        assert min(left, top) >= 0
        assert right < 300
        assert bottom < 200
        assert all(_share(label.corners, rectangles[k]) <= 0.1 for label in labels)
        for other in rectangles[:k]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart


def test_the_best_label_is_written_and_sits_above_its_box(rectangles):
    picture = Image.new("RGB", (300, 200))
    same = [BoxLabel(f"ship {k}", square(50, 60), WHITE) for k in range(9)]
    assert 1 <= write_labels(picture, same) <= 3  # above, below, inside
    left, _, _, bottom = rectangles[0]
    assert (left, bottom) == (50, 60)


def test_text_contrasts_and_grows_with_the_picture():
    assert [readable_on(one) for one in (WHITE, BLACK, (255, 230, 0), (0, 0, 255))] == [
        BLACK, WHITE, BLACK, WHITE,
    ]  # fmt: skip
    sizes = [text_size(Image.new("L", (side, 10))) for side in (64, 1200, 4000, 30_000)]
    assert sizes == [10, 16, 53, 96]


def test_images_are_chosen_by_name(tmp_path):
    paths = [tmp_path / name for name in ("a/P1.png", "b/P1.png", "b/P2__1.0.png")]
    data = DetectionDataset(("x",), tuple(unlabelled(path) for path in paths))

    def chosen(*names):
        return [image.path for image in choose_images(data, names).images]

    assert chosen("P2__1.0", "b/P1.png") == [paths[2], paths[1]]
    assert chosen("P1.png", "P1") == paths[:2]
    assert chosen(str(paths[0])) == paths[:1]
    with pytest.raises(UserError, match=r"no image 'P2_1.0.png' \(and 1 more\).*: P2__1.0.png"):
        chosen("P2_1.0.png", "who")
