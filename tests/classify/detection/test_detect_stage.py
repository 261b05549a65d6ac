"""A detector trained, saved, read and evaluated on images that are drawn here."""

import json
from contextlib import nullcontext

import pytest
import torch
from PIL import Image, ImageDraw
from tests_support import Stops
from torch import nn

from classify.detection.boxes.polygons import fit_rectangles
from classify.detection.boxes.rotated import paired_iou, to_corners
from classify.detection.checkpoints import CHECKPOINT, FORMAT, load_detector, publish
from classify.detection.data.augmentation import drawn_flips, flip_sample
from classify.detection.data.dataset import DetectionDataset, DetectionImage, cut_into_tiles
from classify.detection.data.samples import DetectionSample, load_sample
from classify.detection.evaluation.evaluate import detect_dataset
from classify.detection.models.build import DetectorSpec, detect
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.train import check_resume, prepare_training, train_detector
from tgn.runtime.devices import Device
from tgn.runtime.errors import DataError, UserError
from tgn.runtime.progress import Silent
from tgn.runtime.settings import ComputeSettings
from tgn.runtime.training_loop import STATE

QUICK = {"device": "cpu", "size": 96, "batch_size": 2, "log_every": 1, "fpn_channels": 32}
DETECTORS = ["retinanet", "faster-rcnn", "gfl", "rotated-retinanet"]


def train(*words, **more):
    return train_detector(prepare_training(*words, **more))


def drawn_images(folder, count: int, rotated: bool = False) -> DetectionDataset:
    """Light bars and dark discs on grey, bars rotated on request; the last image is empty."""
    images, draw = [], torch.Generator().manual_seed(0)
    for number in range(count):
        picture = Image.new("RGB", (96, 80), (120, 125, 118))
        ink, boxes, labels = ImageDraw.Draw(picture), [], []
        for x in (10, 55) if number < count - 1 else ():
            y = int(torch.randint(5, 45, (), generator=draw))
            side = int(torch.randint(18, 28, (), generator=draw))
            label = int(torch.randint(2, (), generator=draw))
            turn = float(torch.rand((), generator=draw)) * 3 if rotated and not label else 0.0
            box = [x + side / 2, y + side / 2, side, side if label else 0.4 * side, turn]
            shape = to_corners(torch.tensor([box]))[0]
            if label:
                ink.ellipse((x, y, x + side, y + side), (40, 30, 60))
            else:
                ink.polygon([tuple(corner) for corner in shape.tolist()], (230, 220, 90))
            boxes.append(box if rotated else [*shape.amin(0).tolist(), *shape.amax(0).tolist()])
            labels.append(label)
        path = folder / f"{number:02d}.png"
        picture.save(path)
        images.append(
            DetectionImage(
                path,
                torch.tensor(boxes).view(-1, 5 if rotated else 4),
                torch.tensor(labels, dtype=torch.int64),
                *(torch.zeros(len(labels), dtype=torch.bool) for _ in ("difficult", "crowd")),
            )
        )
    return DetectionDataset(("bar", "disc"), tuple(images))


@pytest.mark.parametrize("ways", [(True, False), (False, True), (True, True)])
def test_flipping_moves_the_boxes_with_the_pixels(tmp_path, ways):
    image = drawn_images(tmp_path, 2).images[0]
    plain, mirrored = load_sample(image), flip_sample(load_sample(image), *ways)
    for one, box in zip((plain, mirrored), (plain.boxes[0], mirrored.boxes[0]), strict=True):
        left, top, right, bottom = box.int().tolist()
        middle = one.image_u8[:, (top + bottom) // 2, (left + right) // 2]
        assert not torch.equal(middle, torch.tensor([120, 125, 118], dtype=torch.uint8))
    sides = [one.boxes[0, 2:] - one.boxes[0, :2] for one in (plain, mirrored)]
    torch.testing.assert_close(*sides)


@pytest.mark.parametrize("ways", [(True, False), (False, True), (True, True)])
def test_flipping_rotates_boxes_with_the_pixels(ways):
    image = torch.zeros(3, 80, 96, dtype=torch.uint8)
    one = DetectionSample(image, torch.tensor([[30.0, 20.0, 30.0, 6.0, 0.4]]), torch.tensor([0]))
    expected = to_corners(one.boxes)[0]
    for axis, length in ((0, 96), (1, 80)):
        if ways[axis]:
            expected[:, axis] = length - expected[:, axis]
    found = flip_sample(one, *ways).boxes
    overlap = paired_iou(found, fit_rectangles(expected[None])).item()
    assert overlap == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [(0, 0)] * 4),
        ("horizontal", [(0, 0), (0, 0), (1, 0), (1, 0)]),
        ("vertical", [(0, 0), (0, 0), (0, 1), (0, 1)]),
        ("diagonal", [(0, 0), (0, 0), (1, 1), (1, 1)]),
        ("both", [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_each_kind_of_flips_is_drawn_half_of_the_time(kind, expected):
    chances = [(first, second) for first in (False, True) for second in (False, True)]
    assert [drawn_flips(kind, *both) for both in chances] == expected


@pytest.mark.parametrize("detector", ["faster-rcnn", "rotated-retinanet"])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, detector):
    data = drawn_images(tmp_path, 4, rotated=detector == "rotated-retinanet")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    optimizer = "adamw" if detector == "gfl" else "sgd"
    settings = DetectSettings(detector=detector, optimizer=optimizer, steps=3, **QUICK)
    result = train((data, data), straight, settings, Silent())
    assert set(result) >= {"voc07", "voc12", "coco"}
    first = settings.model_copy(update={"save_every": 2})

    with pytest.raises(KeyboardInterrupt):
        train((data, data), broken, first, Stops(2))
    train((data, data), broken, first, Silent())
    nets = [load_detector(folder / CHECKPOINT)[0] for folder in (straight, broken)]
    for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    image = torch.rand(3, 80, 96)
    assert torch.equal(detect(nets[0], [image])[0].boxes, detect(nets[1], [image])[0].boxes)


def test_other_data_or_teachers_are_not_resumed(tmp_path):
    data, folder = drawn_images(tmp_path, 4), tmp_path / "x"
    teachers = [tmp_path / name / CHECKPOINT for name in ("one", "two")]
    for seed, file in enumerate(teachers):
        plain = DetectSettings(detector="gfl", steps=1, seed=seed, **QUICK)
        train((data, data), file.parent, plain, Silent())
    settings = DetectSettings(detector="gfl", distill="ld", steps=1, **QUICK)
    train((data, data), folder, settings, Silent(), teacher=teachers[0])
    kept = [(folder / name).read_bytes() for name in (CHECKPOINT, STATE)]
    reordered = DetectionDataset(data.classes[::-1], data.images)
    fewer = DetectionDataset(data.classes, data.images[:3])
    for other, teacher, named in (
        (data, teachers[1], "teacher"),
        (fewer, teachers[0], "training data"),
        (reordered, None, "facts"),
    ):
        chosen = settings if teacher else settings.model_copy(update={"distill": "none"})
        begun = prepare_training((other, data), folder, chosen, Silent(), teacher=teacher)
        for refuses in (check_resume, train_detector):
            with pytest.raises(UserError, match=f"made with other settings.*{named}"):
                refuses(begun)
    assert kept == [(folder / name).read_bytes() for name in (CHECKPOINT, STATE)]
    train((fewer, data), folder, settings, Silent(), False, teachers[1])  # anew


def test_another_file_is_no_detector(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"format": "other"})
    with pytest.raises(UserError, match="no detector"):
        load_detector(tmp_path / "x.safetensors")
    record = {"detector": "gfl", "backbone": "resnet18", "size": 64}
    for facts in (
        {**record, "classes": ["x/../../evil"]},
        record,
        {**record, "classes": [], "no": 1},
    ):
        metadata = {"format": FORMAT, "facts": json.dumps(facts)}
        save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
        with pytest.raises(UserError, match=r"x\.safetensors"):
            load_detector(tmp_path / "x.safetensors")


@pytest.mark.parametrize(("detector", "distill"), [("retinanet", "lshl2"), ("gfl", "ld+kd")])
def test_a_resumed_distillation_equals_an_uninterrupted_one(tmp_path, detector, distill):
    data = drawn_images(tmp_path, 4)
    teacher = DetectSettings(detector=detector, backbone="resnet34", steps=1, **QUICK)
    train((data, data), tmp_path / "teacher", teacher, Silent())
    settings = DetectSettings(detector=detector, distill=distill, steps=3, save_every=2, **QUICK)
    file = tmp_path / "teacher" / CHECKPOINT
    untouched = file.read_bytes()
    for name in ("straight", "broken"):
        stop = Stops(2) if name == "broken" else Silent()
        with pytest.raises(KeyboardInterrupt) if name == "broken" else nullcontext():
            train((data, data), tmp_path / name, settings, stop, teacher=file)
    assert publish(tmp_path / "broken", tmp_path / "early.safetensors") == 2
    train((data, data), tmp_path / "broken", settings, Silent(), teacher=file)
    straight = (tmp_path / "straight" / CHECKPOINT).read_bytes()
    assert straight == (tmp_path / "broken" / CHECKPOINT).read_bytes()
    assert publish(tmp_path / "straight", tmp_path / "p.safetensors") == 3
    assert (tmp_path / "p.safetensors").read_bytes() == straight
    assert (tmp_path / "p.safetensors").stat().st_size < 0.6 * (
        tmp_path / "straight" / STATE
    ).stat().st_size  # neither optimiser nor teacher
    assert load_detector(tmp_path / "early.safetensors")[1].backbone == "tf_efficientnet_lite0"
    assert file.read_bytes() == untouched


def test_teachers_that_do_not_fit_are_refused(tmp_path):
    data = drawn_images(tmp_path, 2)
    plain = DetectSettings(steps=1, **QUICK)
    train((data, data), tmp_path / "teacher", plain, Silent())
    file = tmp_path / "teacher" / CHECKPOINT
    bare = DetectionDataset(data.classes, data.images[-1:])
    with pytest.raises(DataError, match="nothing to learn"):
        prepare_training((bare, data), tmp_path / "x", plain, Silent())
    with pytest.raises(UserError, match="distill=none"):
        train((data, data), tmp_path / "x", plain, Silent(), teacher=file)
    student = DetectSettings(detector="gfl", distill="ld", steps=1, **QUICK)
    imitating = DetectSettings(detector="gfl", imitation={"region": "gt"}, steps=1, **QUICK)
    for settings, cause in ((student, "distill=ld"), (imitating, "imitation.region=gt")):
        with pytest.raises(UserError, match=f"{cause} needs a teacher"):
            train((data, data), tmp_path / "x", settings, Silent())
    with pytest.raises(UserError, match="faster-rcnn"):
        train((data, data), tmp_path / "x", student, Silent(), teacher=file)


@pytest.mark.parametrize(("detector", "distill"), [("gfl", "ld"), ("retinanet", "l2")])
def test_a_teacher_with_other_levels_is_refused(tmp_path, detector, distill):
    data, folder = drawn_images(tmp_path, 2), tmp_path / "fine"
    fine = DetectSettings(detector=detector, finest_stride=4, steps=1, **QUICK)
    train((data, data), folder, fine, Silent())
    student = DetectSettings(detector=detector, distill=distill, steps=1, **QUICK)
    with pytest.raises(UserError, match="from stride 4 on, the student from 8"):
        train((data, data), tmp_path / "x", student, Silent(), teacher=folder / CHECKPOINT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"detector": "gfl", "distill": "lsh"},
        {"detector": "retinanet", "distill": "ld"},
        {"detector": "faster-rcnn", "imitation": {"region": "gt"}},
    ],
)
def test_distillations_that_do_not_fit_a_detector_are_refused(wrong):
    with pytest.raises(ValueError, match="not for"):
        DetectSettings.model_validate(wrong)


class Corner(nn.Module):
    """Finds one object in the left upper corner of every image."""

    def forward(self, images):
        one = {"boxes": torch.tensor([[1.0, 2.0, 9.0, 8.0]]), "labels": torch.tensor([0])}
        return [{**one, "scores": torch.tensor([0.9])} for _ in images]


def test_large_images_are_detected_tile_by_tile(tmp_path):
    Image.new("RGB", (200, 100)).save(tmp_path / "x.png")
    none = torch.zeros(0)
    image = DetectionImage(
        tmp_path / "x.png", none.view(0, 4), none.long(), none.bool(), none.bool()
    )
    spec = DetectorSpec("gfl", "resnet18", ("a",), 96, tile_size=100, tile_overlap=0.5)
    device = Device(ComputeSettings(device="cpu"))
    (found,) = detect_dataset(Corner(), spec, DetectionDataset(("a",), (image,)), device, Silent())
    assert sorted(found.boxes[:, 0].tolist()) == [1, 51, 101]
    assert found.boxes[:, 1].tolist() == [2, 2, 2]


def test_a_tile_has_no_slivers_and_no_object_is_lost(tmp_path):
    Image.new("RGB", (200, 100)).save(tmp_path / "x.png")
    boxes = torch.tensor([[40.0, 40, 101, 90], [60, 10, 160, 30], [0, 0, 190, 99]])
    labels, no = torch.arange(3), torch.zeros(3, dtype=torch.bool)
    image = DetectionImage(tmp_path / "x.png", boxes, labels, no, no)
    left, right = cut_into_tiles(DetectionDataset(("a", "b", "c"), (image,)), 100, 0.0).images
    assert left.labels.tolist() == [0, 2]
    assert right.labels.tolist() == [1]  # not the sliver of the first, 1 pixel wide
    torch.testing.assert_close(left.boxes, torch.tensor([[40.0, 40, 100, 90], [0, 0, 100, 99]]))
    rotated = DetectionImage(
        tmp_path / "x.png", torch.tensor([[101.0, 50, 80, 20, 0.1]]), *(labels[:1],) * 3
    )
    found = [
        part.boxes for part in cut_into_tiles(DetectionDataset(("a",), (rotated,)), 100, 0.0).images
    ]
    assert [len(one) for one in found] == [0, 1]
    torch.testing.assert_close(found[1], torch.tensor([[1.0, 50, 80, 20, 0.1]]))


def test_tiles_are_trained_on_like_images(tmp_path):
    data = drawn_images(tmp_path, 3)
    parts = cut_into_tiles(data, 64, 0.25)
    assert cut_into_tiles(data, None, 0.25) is data
    assert len(parts.images) == 3 * 4  # of 96 x 80 pixels
    one = load_sample(parts.images[0])
    assert one.image_u8.shape == (3, 64, 64)
    assert (one.boxes >= 0).all()
    assert (one.boxes <= 64).all()
    settings = DetectSettings(detector="gfl", steps=1, tile_size=64, **QUICK)
    result = train((data, data), tmp_path / "x", settings, Silent())
    assert result["images"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("detector", DETECTORS)
def test_sixteen_images_are_overfitted(tmp_path, detector):
    data = drawn_images(tmp_path, 16, rotated=detector == "rotated-retinanet")
    usual = {**QUICK, "batch_size": 4, "fpn_channels": 64}
    lr = 0.01 if detector == "retinanet" else 0.02  # at 0.02 it reaches 0.61
    settings = DetectSettings(detector=detector, optimizer="sgd", steps=500, lr=lr, **usual)
    result = train((data, data), tmp_path / "x", settings, Silent())
    assert result["voc12"]["ap50"] >= 0.9


def test_the_head_of_faster_rcnn_learns_from_so_many_proposals(tmp_path):
    data = drawn_images(tmp_path, 2)
    settings = DetectSettings(**QUICK, steps=1, proposals_per_image=8)
    training = prepare_training((data, data), tmp_path / "out", settings, Silent())
    proposals = []
    training.net.roi_heads.box_roi_pool.register_forward_pre_hook(
        lambda _, inputs: proposals.extend(len(boxes) for boxes in inputs[1])
    )
    train_detector(training)
    assert proposals[: QUICK["batch_size"]] == [8, 8]


@pytest.mark.parametrize("detector", ["gfl", "retinanet"])
def test_towers_begin_by_their_inputs_with_adamw_and_as_published_with_sgd(detector, tmp_path):
    data = drawn_images(tmp_path, 2)
    for optimizer, spread in (("adamw", (2 / (9 * 32)) ** 0.5), ("sgd", 0.01)):
        settings = DetectSettings(detector=detector, optimizer=optimizer, **QUICK)
        net = prepare_training((data, data), tmp_path / "out", settings, Silent()).net
        towers = [
            layer
            for layer in net.head.modules()
            if isinstance(layer, nn.Conv2d) and layer.in_channels == layer.out_channels
        ]
        assert len(towers) == 8
        for layer in towers:
            assert layer.weight.std().item() == pytest.approx(spread, rel=0.05)
    with pytest.raises(ValueError, match="head_init has no effect"):
        DetectSettings(head_init="kaiming")
