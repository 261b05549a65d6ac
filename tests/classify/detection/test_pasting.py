"""Copy-paste augmentation: places, sizes and borders; where its pictures come from."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from classify.detection.boxes.rotated import paired_iou
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.data.parts import Parts
from classify.detection.data.paste_sources import open_pasting
from classify.detection.data.pasted_objects import Cutout, RealObjects, turned_corners
from classify.detection.data.pasting import (
    Pasting,
    largest_overlap,
    object_sizes,
    paste_cutout,
    scaled_cutout,
    soft_mask,
    symmetries,
)
from classify.detection.data.samples import load_sample
from classify.detection.data.tiling import Tile
from classify.detection.data.training_samples import TrainingSamples
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.train import prepare_training, train_detector
from tgn.data.annotations.chips import cut_chips
from tgn.data.annotations.settings import ChipSettings
from tgn.data.annotations.types import Annotations, ObjectAnnotation, corners_of_box
from tgn.data.augmentation import dihedral
from tgn.data.batches import Prefetcher
from tgn.data.manifest import ManifestRow, ManifestWriter
from tgn.data.splits.make_split import split_run
from tgn.data.splits.settings import SplitSettings
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent
from tgn.runtime.seeds import generator

RED = (200, 30, 30)
SQUARE = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])


def image_with(path, boxes, labels, size=(96, 80)) -> DetectionImage:
    """Write a grey image with a red rectangle at each box of class 1."""
    picture = Image.new("RGB", size, (100 + 10 * int(path.stem),) * 3)
    for box, label in zip(boxes, labels, strict=True):
        if label == 1:
            picture.paste(RED, tuple(map(int, box)))
    picture.save(path)
    count = len(labels)
    return DetectionImage(
        path,
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        *(torch.zeros(count, dtype=torch.bool) for _ in range(2)),
    )


@pytest.fixture
def data(tmp_path) -> DetectionDataset:
    """Four images with two objects of class 0 each, the first with one of class 1 besides."""
    images = []
    for row in range(4):
        boxes, labels = [[4, 4, 20, 20], [70, 50, 90, 70]], [0, 0]
        if row == 0:
            boxes, labels = [*boxes, [40, 30, 60, 40]], [0, 0, 1]
        images.append(image_with(tmp_path / f"{row}.png", boxes, labels))
    return DetectionDataset(("common", "rare"), tuple(images))


def settings_of(**values) -> DetectSettings:
    return DetectSettings(**{"paste": "real", "paste_share": 1.0, "paste_below": 5, **values})


@pytest.mark.parametrize("code", range(8))
def test_corners_turn_with_the_pixels(code):
    picture = torch.zeros(1, 1, 8, 8)
    picture[..., 1, 5] = 1  # row 1, column 5
    turned = dihedral(picture, code)[0, 0]
    ((x, y),) = (turned_corners(torch.tensor([[5.5, 1.5]]) / 8, code) * 8).tolist()
    assert turned[int(y), int(x)] == 1


@pytest.mark.parametrize(
    ("flips", "turns", "expected"),
    [
        ("both", False, {0, 1, 2, 3, 4, 5, 6, 7}),
        ("horizontal", False, {0, 4}),
        ("vertical", False, {0, 6}),
        ("diagonal", True, {0, 1, 2, 3}),
        ("horizontal", True, {0, 1, 2, 3, 4, 5, 6, 7}),
        ("none", False, {0}),
    ],
)
def test_objects_are_turned_as_images_are(flips, turns, expected):
    assert set(symmetries(DetectSettings(flips=flips, quarter_turns=turns))) == expected


def test_a_pasted_object_is_annotated_where_its_pixels_are(data):
    pasting = open_pasting(data, Parts(data, data), settings_of())
    assert pasting is not None
    assert "rare (1)" in pasting.in_words
    assert "common" not in pasting.in_words
    image, added = data.images[1], 0
    for seed in range(20):
        sample = pasting.paste(load_sample(image), image, generator(seed))
        new = sample.boxes[len(image.boxes) :]
        assert (sample.labels[len(image.boxes) :] == 1).all()
        for left, top, right, bottom in new.round().int().tolist():
            inside = sample.image_u8[:, top + 1 : bottom - 1, left + 1 : right - 1].float()
            assert (inside - torch.tensor(RED)[:, None, None]).abs().max() < 40
            assert sorted((right - left, bottom - top)) == pytest.approx([10, 20], abs=1)
            added += 1
        assert (largest_overlap(new, image.boxes) <= 0.1).all()
    assert 20 < added <= 60


def test_what_is_pasted_depends_on_seed_and_step_alone(data):
    settings = settings_of(batch_size=3)
    pasting = open_pasting(data, Parts(data, data), settings)
    one, two = (TrainingSamples(data, settings, pasting) for _ in range(2))
    whole, following = (one.batch(step, [0, 1, 2]) for step in (5, 6))
    (alone,) = two.batch(5, [2])  # as another process has it
    assert torch.equal(whole[2].image_u8, alone.image_u8)
    assert torch.equal(whole[2].boxes, alone.boxes)
    assert any(not torch.equal(a.boxes, b.boxes) for a, b in zip(whole, following, strict=True))


def test_batches_made_in_several_threads_are_those_of_one(data):
    settings = settings_of(batch_size=3, paste_share=0.7, mosaic=0.5, quarter_turns=True)
    pasting = open_pasting(data, Parts(data, data), settings)
    samples = TrainingSamples(data, settings, pasting)
    make = partial(samples.batch, places=[0, 1, 2])
    read = Prefetcher(make, 12, ahead=4)
    for step in range(12):
        for found, expected in zip(read(step), make(step), strict=True):
            assert torch.equal(found.image_u8, expected.image_u8)
            assert torch.equal(found.boxes, expected.boxes)


def test_nothing_is_pasted_over_objects():
    picture = torch.zeros(3, 40, 40, dtype=torch.uint8)
    cutout = Cutout(torch.full((3, 20, 20), 255, dtype=torch.uint8), SQUARE)
    taken = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    assert paste_cutout(picture, cutout, taken, generator(0), rotated=False) is None
    assert picture.max() == 0
    too_large = scaled_cutout(cutout, 50)
    assert paste_cutout(picture, too_large, taken[:0], generator(0), rotated=False) is None


def test_the_border_is_soft_and_the_object_whole():
    mask = soft_mask(torch.tensor([[8.0, 8], [24, 8], [24, 16], [8, 16]]), 32, feather=8.0)
    assert (mask[8:16, 8:24] == 1).all()
    row = mask[12, 24:]
    assert (row[:-1] > row[1:]).all()
    assert mask[12, 31] < 0.02
    turned = soft_mask(torch.tensor([[16.0, 6], [26, 16], [16, 26], [6, 16]]), 32, feather=4.0)
    assert turned[16, 16] == 1
    assert turned[7, 7] == 0


def test_sizes_are_those_of_the_class_in_pixels(data):
    assert object_sizes(data)[1].tolist() == [20]
    assert sorted(set(object_sizes(data)[0].tolist())) == [16, 20]
    scaled = scaled_cutout(Cutout(torch.zeros(3, 64, 64, dtype=torch.uint8), SQUARE), 20)
    assert scaled.image_u8.shape == (3, 40, 40)


def test_objects_that_a_tile_cuts_are_no_pictures(tmp_path):
    image = image_with(tmp_path / "0.png", [[10, 10, 30, 30], [2, 40, 12, 50]], [1, 1])
    cut = replace(image, tile=Tile(0, 0, 30, 80))
    assert RealObjects(DetectionDataset(("a", "b"), (cut,)), [1]).counts == {1: 1}
    whole = RealObjects(DetectionDataset(("a", "b"), (image,)), [1])
    assert whole.counts == {1: 2}
    cutout = whole.read(1, 0)
    assert cutout.image_u8.shape == (3, 26, 26)  # a margin of 0.15 on either side
    assert (cutout.corners[0] * 26).tolist() == pytest.approx([3, 3])


def test_a_rotated_object_keeps_its_angle():
    corners = turned_box = torch.tensor([[0.3, 0.2], [0.8, 0.45], [0.7, 0.65], [0.2, 0.4]])
    image = torch.zeros(3, 100, 100, dtype=torch.uint8)
    cutout = Cutout(torch.full((3, 40, 40), 255, dtype=torch.uint8), turned_box)
    box = paste_cutout(image, cutout, torch.zeros(0, 4), generator(1), rotated=True)
    angle = math.atan2(0.25, 0.5)
    sides = (corners[1] - corners[0]).norm() * 40, (corners[2] - corners[1]).norm() * 40
    expected = torch.tensor([*box[:2].tolist(), *map(float, sides), angle])
    assert paired_iou(box[None], expected[None]).item() == pytest.approx(1, abs=1e-3)


# Sources other than the training images.


def chips_of(data: DetectionDataset, out, **settings):
    """Cut all objects of the data into chips, all of them the training part."""
    objects = [
        ObjectAnnotation(image.path, data.classes[label], corners_of_box(*box), False)
        for image in data.images
        for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True)
    ]
    chosen = ChipSettings(min_side=1, **settings)
    cut_chips(Annotations(objects, [image.path for image in data.images]), out, chosen, Silent())


def test_chips_of_a_folder_are_pasted_but_not_those_of_test_images(data, tmp_path):
    chips_of(data, tmp_path / "chips", part="train")
    settings = settings_of(paste=str(tmp_path / "chips"))
    nothing = DetectionDataset(data.classes, ())
    pasting = open_pasting(data, Parts(data, nothing), settings)
    assert isinstance(pasting, Pasting)
    assert pasting.sources[0].counts == {1: 1}
    cutout = pasting.sources[0].read(1, 0)
    middle = cutout.image_u8[:, 13, 13]
    assert tuple(middle.tolist()) == RED
    first = replace(data, images=data.images[:1])
    with pytest.raises(UserError, match="has no picture of a class that is pasted"):
        open_pasting(data, Parts(data, first), settings)


def run_that_drew(data, tmp_path, kinds) -> None:
    """Make the run "drawn" of the data's chips, with red images of class "rare".

    Args:
        data: its objects are the chips.
        tmp_path: gets all.
        kinds: view and how of each image's row in the manifest.
    """
    chips_of(data, tmp_path / "chips", test_fraction=0.3)
    run, split = split_run(tmp_path / "chips", "drawn", SplitSettings(val_fraction=0), Silent())
    source, label = next(row for row in split.train if "rare/" in row[0])
    (run.generated / "rare").mkdir(parents=True)
    rows = []
    for index, (view, how) in enumerate(kinds):
        file = f"rare/{index}.png"
        Image.new("RGB", (32, 32), RED).save(run.generated / file)
        known = {"file": file, "folder": "rare", "class_index": label, "source_file": source}
        rows.append(ManifestRow(**known, index=index, view=view, how=how))
    writer = ManifestWriter(run.generated)
    writer.append(rows)
    writer.finish()


def test_drawn_chips_of_a_run_are_pasted(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TGN_RUNS", str(tmp_path / "runs"))
    run_that_drew(data, tmp_path, [(1, ""), (None, ""), (0, '{"crop":0.5}')])
    settings = settings_of(paste="drawn")
    pasting = open_pasting(data, Parts(data, DetectionDataset(data.classes, ())), settings)
    assert pasting.sources[0].counts == {1: 1}  # of the others the object's place is not known
    corners = pasting.sources[0].read(1, 0).corners
    wide, high = (corners.amax(dim=0) - corners.amin(dim=0)).tolist()
    assert (wide, high) == pytest.approx((10 / 26, 20 / 26))  # seen after a quarter turn
    first = replace(data, images=data.images[:1])
    with pytest.raises(UserError, match="has no picture"):
        open_pasting(data, Parts(data, replace(data, images=()), first), settings)
    with pytest.raises(UserError, match="learned from 3 chips of images of the test part"):
        open_pasting(data, Parts(data, first), settings)
    rotated = settings_of(paste="drawn", detector="rotated-retinanet")
    with pytest.raises(UserError, match="angles are not known"):
        open_pasting(data, Parts(data, data), rotated)
    (tmp_path / "chips" / "chips.csv").unlink()
    with pytest.raises(UserError, match=r"has no chips.csv"):
        open_pasting(data, Parts(data, data), settings)


def test_real_and_drawn_objects_are_pasted_alike_often(data, tmp_path, monkeypatch):
    monkeypatch.setenv("TGN_RUNS", str(tmp_path / "runs"))
    run_that_drew(data, tmp_path, [(0, "")] * 9)
    settings = DetectSettings.resolve(overrides=["paste=[real,drawn]", "paste_below=5"])
    pasting = open_pasting(data, Parts(data, replace(data, images=())), settings)
    assert "paste=real: pictures of rare (1), paste=drawn: pictures of rare (9)" in pasting.in_words
    sizes = Counter()
    for source in pasting.sources:
        monkeypatch.setattr(source, "read", counted(source.read, sizes))
    for seed in range(60):
        pasting.paste(load_sample(data.images[1]), data.images[1], generator(seed))
    assert sizes.keys() == {26, 32}  # a chip with its margin, and a drawn one
    assert sizes[26] / sizes.total() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(("recorded", "today"), [(None, []), ("real", ["real"]), ([], [])])
def test_trainings_of_versions_with_one_source_go_on(recorded, today):
    assert DetectSettings.with_new_names({"paste": recorded})["paste"] == today
    assert DetectSettings(paste=recorded).model_dump(mode="json")["paste"] == today


def counted(read: Callable[[int, int], Cutout], sizes: Counter[int]) -> Callable[..., Cutout]:
    def reading(label: int, index: int) -> Cutout:
        cutout = read(label, index)
        sizes[cutout.image_u8.shape[1]] += 1
        return cutout

    return reading


def test_upright_chips_are_refused_where_angles_are_needed(data, tmp_path):
    chips_of(data, tmp_path / "chips", part="train")
    settings = settings_of(paste=str(tmp_path / "chips"), detector="rotated-retinanet")
    with pytest.raises(UserError, match="chips of upright boxes"):
        open_pasting(data, Parts(data, data), settings)


def test_data_without_a_rare_class_says_which_is_the_rarest(data):
    with pytest.raises(UserError, match="rare has the fewest, 1"):
        open_pasting(data, Parts(data, data), settings_of(paste_below=1))


def test_settings_that_nothing_reads_are_refused():
    for name in ("paste_share", "paste_below", "repeat_threshold"):
        with pytest.raises(UserError, match=f"{name} has no effect"):
            DetectSettings.resolve(overrides=[f"{name}=1"])


def test_a_training_pastes_and_samples_and_says_so(data, tmp_path):
    quick = {"device": "cpu", "size": 64, "batch_size": 2, "fpn_channels": 32, "log_every": 1}
    settings = settings_of(sampling="class-balanced", steps=2, **quick)
    job = prepare_training((data, data), tmp_path / "x", settings, Silent())
    assert "sampling=class-balanced" in job.in_words
    assert "paste=real" in job.in_words
    assert set(train_detector(job)) >= {"voc12"}
