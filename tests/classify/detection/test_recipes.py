"""Published recipes: the numbers of their sources, and a shortened run of each."""

import pytest
import torch
from PIL import Image

from classify.detection.checkpoints import CHECKPOINT, save_detector
from classify.detection.data.dataset import DetectionDataset, DetectionImage
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.training.recipes import RECIPES, compared_rows, find_recipe, with_recipe
from classify.detection.training.schedule import learning_rate
from classify.detection.training.train import prepare_training, train_detector
from tgn.runtime.errors import UserError
from tgn.runtime.progress import Silent

VOC_IMAGES, DOTA_TILES, COCO_IMAGES = 16_551, 15_749, 117_266


def rates(name: str, images: int, epochs: tuple[int, ...]) -> list[float]:
    """Return the learning rate in the first step after some epochs."""
    settings = with_recipe({}, name).of_length(images)
    return [learning_rate(settings, epoch * settings.steps_per_epoch) for epoch in epochs]


def test_the_schedule_of_voc_is_that_of_feature_mimicking():
    settings = with_recipe({}, "voc-faster-rcnn-r50-lshl2").of_length(VOC_IMAGES)
    assert settings.steps == 24 * 2069  # of 8 images
    assert rates("voc-faster-rcnn-r50-lshl2", VOC_IMAGES, (0, 1, 17, 18, 21, 22)) == pytest.approx(
        [1e-5, 0.01, 0.01, 0.001, 0.001, 0.0001]
    )
    assert rates("voc-retinanet-vgg16", VOC_IMAGES, (1, 23)) == pytest.approx([0.005, 0.00005])
    assert settings.short_sides == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    assert (settings.short_side, settings.size, settings.flips) == (800, 1333, "horizontal")
    assert (settings.mimic.weight, settings.mimic.num_hashes) == (7, 4096)
    assert with_recipe({}, "voc-retinanet-vgg11-lsh").mimic.weight == 6
    assert with_recipe({}, "voc-retinanet-vgg11-lshl2").mimic.weight == 8


def test_the_schedule_of_dota_is_that_of_rotated_localization_distillation():
    name = "dota-gwd-r18-ld+kd"
    assert rates(name, DOTA_TILES, (0, 1, 8, 11)) == pytest.approx(
        [0.0025 / 3, 0.0025, 0.00025, 0.000025]
    )
    settings = with_recipe({}, name)
    assert settings.distillation_weights._asdict() == {
        "ld_temperature": 5, "kd_temperature": 5, "ld_weight": 10, "vlr_weight": 0, "kd_weight": 20,
    }  # fmt: skip
    assert (settings.tile_size, round(settings.tile_size * settings.tile_overlap)) == (1024, 200)
    teacher = with_recipe({}, find_recipe(name).teacher)
    assert (teacher.backbone, teacher.epochs, teacher.milestones) == ("resnet34", 24, (16, 22))
    assert (settings.backbone, settings.max_grad_norm, settings.batch_size) == ("resnet18", 35, 2)


def test_the_schedule_of_coco_is_that_of_localization_distillation():
    assert rates("coco-gfl-r50-ld+kd", COCO_IMAGES, (0, 1, 8, 11)) == pytest.approx(
        [1e-5, 0.01, 0.001, 0.0001]
    )
    settings = with_recipe({}, "coco-gfl-r50-ld+kd-gibox")
    assert settings.distillation_weights[:2] == (10, 2)
    assert settings.distillation_weights[2:] == (0.25, 0.25, 10)
    assert (settings.imitation.region, settings.imitation.weight) == ("gibox", 2)


def test_what_is_given_wins_and_is_seen_beside_the_published():
    settings = with_recipe({"epochs": 6, "milestones": [4, 5]}, "dota-gwd-r18")
    rows = {
        key: (published, own) for key, published, own in compared_rows("dota-gwd-r18", settings)
    }
    assert rows["epochs"] == ("12", "6")
    assert rows["lr"] == ("0.0025", "0.0025")
    with pytest.raises(UserError, match="--recipe got 'nothing'; valid: voc-faster-rcnn-r101, "):
        with_recipe({}, "nothing")


def made_images(folder, rotated: bool) -> DetectionDataset:
    """Two images with a square each."""
    images = []
    for number in range(2):
        picture = Image.new("RGB", (64, 64), (90, 90, 90))
        picture.paste((220, 200, 90), (20, 20, 44, 44))
        picture.save(folder / f"{number}.png")
        box = [32.0, 32, 24, 24, 0.1] if rotated else [20.0, 20, 44, 44]
        none = torch.zeros(1, dtype=torch.bool)
        images.append(
            DetectionImage(
                folder / f"{number}.png", torch.tensor([box]), torch.tensor([number]), none, none
            )
        )
    return DetectionDataset(("square", "court"), tuple(images))


SHORTENED = {
    "epochs": 2, "milestones": (1,), "batch_size": 1, "fpn_channels": 32, "warmup_steps": 1,
    "backbone_weights": "none", "backbone_norm": "trained", "frozen_stages": 0,
    "lr": 1e-5, "max_grad_norm": 1.0, "device": "cpu", "precision": "float32", "log_every": 1,
}  # fmt: skip
SMALL = {
    "voc": {"short_sides": (48, 64), "test_short_side": 64, "size": 80},
    "dota": {"tile_size": 64, "size": 64},
    "coco": {"short_sides": (64,), "test_short_side": 64, "size": 80},
}
LIGHT = {"backbone": "resnet18"}
QUICK = ("voc-faster-rcnn-r50-lshl2", "dota-gwd-r18-ld+kd", "coco-gfl-r18-ld+kd")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, LIGHT) for name in QUICK),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in RECIPES),
    ],
)
def test_a_shortened_run_of_each_recipe(tmp_path, name, changes):
    small = {**SHORTENED, **SMALL[name.partition("-")[0]], **changes}
    settings = with_recipe(small, name)
    data = made_images(tmp_path, settings.is_rotated)
    teacher = None
    if find_recipe(name).teacher is not None:
        net_of = with_recipe(small, find_recipe(name).teacher)
        spec = DetectorSpec(
            net_of.detector, net_of.backbone, data.classes, net_of.size, False, 32, net_of.box_loss,
            head_norm=net_of.head_norm,
        )  # fmt: skip
        teacher = tmp_path / "teacher.safetensors"
        save_detector(teacher, build_detector(spec), spec)
    training = prepare_training((data, data), tmp_path / "out", settings, Silent(), teacher=teacher)
    result = train_detector(training)
    assert result["images"] == 2
    assert (tmp_path / "out" / CHECKPOINT).is_file()
    logged = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert len(logged) == 4  # two epochs of two steps
