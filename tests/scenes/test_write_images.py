"""Whole drawn images, their boxes, and the folder they lie in."""

import numpy as np
import pytest

from tgn.data.annotations.readers import read_annotations
from tgn.runtime.errors import UserError
from tgn.runtime.files import read_json
from tgn.scenes.canvas import Pose
from tgn.scenes.detection_image import DETECTION_CLASSES, draw_detection_image, oriented_box
from tgn.scenes.settings import ImagesSettings
from tgn.scenes.shapes import box, disc
from tgn.scenes.write_images import class_weights, write_images

SMALL = ImagesSettings(train=3, test=2, size=128, objects=5)


def test_a_folder_is_written_as_dota_has_it(tmp_path):
    seen: list[int] = []
    write_images(tmp_path / "x", SMALL, seen.append)
    assert seen == [1, 2, 3, 4, 5]
    for part, count in (("train", 3), ("test", 2)):
        folder = tmp_path / "x" / part
        found = read_annotations(folder / "labelTxt", folder / "images")
        assert found.problems == []
        assert len(found.images) == count
        assert {one.class_name for one in found.objects} <= set(DETECTION_CLASSES)
    assert read_json(tmp_path / "x" / "scenes.json")["complete"]


def contents(folder):
    """Every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_broken_off_call_is_continued_and_other_settings_are_refused(tmp_path):
    write_images(tmp_path / "whole", SMALL)
    write_images(tmp_path / "cut", SMALL)
    (tmp_path / "cut/train/labelTxt/00001.txt").unlink()
    (tmp_path / "cut/train/images/00001.png").unlink()
    write_images(tmp_path / "cut", SMALL)
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    with pytest.raises(UserError, match="objects"):
        write_images(tmp_path / "cut", SMALL.model_copy(update={"objects": 6}))


def test_boxes_lie_round_what_is_painted():
    pose = Pose(0.25, -0.5, 0.6, 0.1)
    corners = np.array(oriented_box(box(3.0, 1.0, u=0.5), pose, 200))
    ends = [pose.child(u, v) for u, v in ((-2.5, -1), (3.5, -1), (3.5, 1), (-2.5, 1))]
    expected = [((end.x + 1) * 100, (end.y + 1) * 100) for end in ends]
    np.testing.assert_allclose(corners, expected, atol=0.5)
    sides = np.ptp(np.array(oriented_box(disc(2.0), Pose(0, 0, 0.0, 0.1), 200)), axis=0)
    np.testing.assert_allclose(sides, 40, atol=0.5)


def test_an_object_stands_out_from_the_ground_within_its_box():
    drawn = [
        draw_detection_image(np.random.default_rng(k), 256, class_weights(10), 8) for k in range(4)
    ]
    assert all(labelled for _, labelled in drawn)
    for image, labelled in drawn:
        assert image.shape == (256, 256, 3)
        for _, corners in labelled:
            x, y = np.array(corners).mean(axis=0)
            assert 0 <= x < 256
            assert 0 <= y < 256


def test_frequent_classes_are_frequent():
    counts = dict.fromkeys(DETECTION_CLASSES, 0)
    for k in range(30):
        for name, _ in draw_detection_image(np.random.default_rng(k), 192, class_weights(10), 8)[1]:
            counts[name] += 1
    assert counts["vehicle"] > 3 * counts["basketball_court"]
    assert min(counts.values()) > 0
