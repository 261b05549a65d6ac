"""Starting from trained detectors: ours, torchvision's COCO files, mmdetection's names."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.detection import fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn

from classify.detection.checkpoints import save_detector
from classify.detection.models.build import DetectorSpec, build_detector
from classify.detection.settings.detector import DetectSettings
from classify.detection.training.start import start_from
from tgn.runtime.errors import UserError

CLASSES = ("ship", "plane")
SMALL = DetectorSpec("retinanet", "resnet18", CLASSES, 64, True, 32)


def with_random_biases(net: nn.Module) -> nn.Module:
    """Change what is initialised to zeros and ones, so that an entry left out is seen."""
    for value in net.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:
            value.add_(torch.rand_like(value))
    return net


def test_torchvisions_detector_of_coco_is_taken_over(tmp_path):
    theirs = with_random_biases(fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None))
    torch.save(theirs.state_dict(), tmp_path / "coco.pth")
    spec = DetectorSpec("faster-rcnn", "resnet50", CLASSES, 64, frozen_norm=True)
    net = build_detector(spec)
    start = start_from(net, spec, tmp_path / "coco.pth")
    assert start.new == ("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = [one.eval().backbone(images) for one in (theirs, net)]
        rpn = [one.rpn.head(list(maps[0].values())) for one in (theirs, net)]
    for theirs_map, own_map in zip(maps[0].values(), maps[1].values(), strict=True):
        scale = float(theirs_map.abs().max())
        torch.testing.assert_close(own_map, theirs_map, atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(rpn[0], rpn[1], atol=1e-2, rtol=1e-4)
    assert torch.equal(theirs.roi_heads.box_head.fc7.weight, net.roi_heads.box_head.fc7.weight)


def in_old_names(net: nn.Module) -> dict[str, Tensor]:
    """Rename entries to what torchvision called them until 0.12; its COCO files have these."""
    old = {}
    for name, value in net.state_dict().items():
        name = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", name)
        name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        name = re.sub(r"(_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", name)
        old[name] = value
    return old


@pytest.mark.parametrize(
    ("detector", "build"),
    [("faster-rcnn", fasterrcnn_resnet50_fpn), ("retinanet", retinanet_resnet50_fpn)],
)
def test_old_files_of_torchvision_are_taken_over(tmp_path, detector, build):
    plain = {"weights": None, "weights_backbone": None}
    theirs = with_random_biases(build(**plain))
    old = in_old_names(theirs)
    assert not {*old} >= {*theirs.state_dict()}
    build(**plain).load_state_dict(old)  # torchvision renames them itself
    torch.save(old, tmp_path / "coco.pth")
    spec = DetectorSpec(detector, "resnet50", CLASSES, 64, frozen_norm=True, head_norm="none")
    start = start_from(build_detector(spec), spec, tmp_path / "coco.pth")
    assert all("cls_" in name or "box_predictor" in name for name in start.new), start.new


@pytest.mark.parametrize("backbone", ["resnet18", "vgg11"])  # whose last stages have one width
def test_a_pyramid_that_begins_at_another_stride_is_not_taken(tmp_path, backbone):
    coarse = SMALL._replace(backbone=backbone)
    fine = coarse._replace(finest_stride=4)
    save_detector(tmp_path / "a.safetensors", build_detector(fine), fine)
    net = build_detector(coarse)
    start = start_from(net, coarse, tmp_path / "a.safetensors")
    own = {name.rpartition(".")[0] for name in net.state_dict() if name.startswith("backbone.fpn")}
    assert {*start.new} == own


@pytest.mark.parametrize(("classes", "is_new"), [(CLASSES, False), (("plane", "ship"), True)])
def test_layers_of_classes_are_taken_with_equal_classes_only(tmp_path, classes, is_new):
    spec = SMALL._replace(classes=classes)
    save_detector(tmp_path / "a.safetensors", with_random_biases(build_detector(spec)), spec)
    start = start_from(build_detector(SMALL), SMALL, tmp_path / "a.safetensors")
    assert start.new == (("head.classification_head.cls_logits",) if is_new else ())
    assert ("new: head" in start.in_words) == is_new


def in_mmdetections_names(net: nn.Module, names: dict[str, str]) -> dict[str, Tensor]:
    """Rename entries by the first parts of their names."""
    found = {}
    for name, value in net.state_dict().items():
        ours = next((one for one in names if name.startswith(one)), None)
        if ours is not None:
            found[names[ours] + name.removeprefix(ours)] = value
    return found


PYRAMID = {
    "backbone.body.": "backbone.",
    **{f"backbone.fpn.inner_blocks.{k}.0.": f"neck.lateral_convs.{k}.conv." for k in range(4)},
    **{f"backbone.fpn.layer_blocks.{k}.0.": f"neck.fpn_convs.{k}.conv." for k in range(4)},
    "backbone.fpn.extra_blocks.p6.": "neck.fpn_convs.3.conv.",
    "backbone.fpn.extra_blocks.p7.": "neck.fpn_convs.4.conv.",
}
PREDICTED_BOXES = "roi_heads.box_predictor.bbox_pred"
LAST_MAPS = ("backbone.fpn.extra_blocks.p6", "backbone.fpn.extra_blocks.p7")
PYRAMID_FROM_4 = {
    f"{ours}.": f"neck.fpn_convs.{k}.conv." for k, ours in enumerate(LAST_MAPS, start=4)
}
SCALES = {f"head.scales.{k}": f"bbox_head.scales.{k}.scale" for k in range(5)}
TOWERS = {
    f"head.{ours}_tower.{3 * k + j}.": f"bbox_head.{theirs}_convs.{k}.{kind}."
    for k in range(4)
    for j, kind in enumerate(("conv", "gn"))
    for ours, theirs in (("class", "cls"), ("shape", "reg"))
}
RETINA = {
    f"head.{ours}_head.conv.{k}.0.": f"bbox_head.{theirs}_convs.{k}.conv."
    for k in range(4)
    for ours, theirs in (("classification", "cls"), ("regression", "reg"))
}


@pytest.mark.parametrize(
    ("detector", "more", "names", "new"),
    [
        (
            "faster-rcnn",
            {},
            {
                "rpn.head.conv.0.0.": "rpn_head.rpn_conv.",
                "rpn.head.cls_logits.": "rpn_head.rpn_cls.",
                "rpn.head.bbox_pred.": "rpn_head.rpn_reg.",
                "roi_heads.box_head.fc6.": "roi_head.bbox_head.shared_fcs.0.",
                "roi_heads.box_head.fc7.": "roi_head.bbox_head.shared_fcs.1.",
            },
            ("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"),
        ),
        (
            "retinanet",
            {"head_norm": "none"},
            {**RETINA, "head.regression_head.bbox_reg.": "bbox_head.retina_reg."},
            (*LAST_MAPS, "head.classification_head.cls_logits"),
        ),
        (
            "gfl",
            {"level_scales": True},
            {**TOWERS, **SCALES, "head.shape.": "bbox_head.gfl_reg."},
            (LAST_MAPS[1], "head.score"),
        ),
        (
            "rotated-retinanet",
            {"head_norm": "none"},
            TOWERS,
            (*LAST_MAPS, "head.score", "head.shape"),
        ),
        (
            "rotated-retinanet",
            {"head_norm": "none", "finest_stride": 4},
            {**TOWERS, **PYRAMID_FROM_4},
            (*LAST_MAPS, "head.score", "head.shape"),
        ),
    ],
)
def test_mmdetections_names_are_known(tmp_path, detector, more, names, new):
    spec = SMALL._replace(detector=detector, **more)
    source, net = with_random_biases(build_detector(spec)), build_detector(spec)
    weights = in_mmdetections_names(source, {**PYRAMID, **names})
    assert any(name.startswith("neck.") for name in weights)
    torch.save({"meta": {}, "state_dict": weights}, tmp_path / "theirs.pth")
    start = start_from(net, spec, tmp_path / "theirs.pth")
    assert start.new == new
    for name, value in source.state_dict().items():
        if not name.startswith(new):
            assert torch.equal(value, net.state_dict()[name]), name


@pytest.mark.parametrize(
    ("detector", "more", "new"),
    [
        ("faster-rcnn", {}, ("roi_heads.box_predictor.cls_score", PREDICTED_BOXES)),
        (
            "retinanet",
            {"head_norm": "none"},
            (*LAST_MAPS, "head.classification_head.cls_logits"),
        ),
        ("gfl", {"level_scales": True}, (LAST_MAPS[1], "head.score")),
    ],
)
def test_a_state_dict_of_mmdetection_is_taken_over(tmp_path, detector, more, new):
    """Its necks' and heads' entries are of mmdetection 3.3.0, its backbone is torchvision's."""
    listed = json.loads(Path(__file__).with_name("mmdetection_names.json").read_text())[detector]
    weights = {name: torch.rand(shape) for name, shape in listed.items()}
    trunk = models.resnet50(weights=None).state_dict().items()
    weights |= {f"backbone.{name}": value for name, value in trunk if not name.startswith("fc.")}
    torch.save({"meta": {}, "state_dict": weights}, tmp_path / "theirs.pth")
    spec = DetectorSpec(detector, "resnet50", CLASSES, 64, frozen_norm=True, **more)
    net = build_detector(spec)
    assert start_from(net, spec, tmp_path / "theirs.pth").new == new
    if detector == "gfl":
        factors = [float(weights[f"bbox_head.scales.{k}.scale"]) for k in range(5)]
        assert [one.item() for one in net.head.scales] == factors


def test_factors_of_levels_are_taken_from_a_pyramid_of_the_same_stride_only(tmp_path):
    coarse = SMALL._replace(detector="gfl", level_scales=True)
    fine, file = coarse._replace(finest_stride=4), tmp_path / "a.safetensors"
    trained = build_detector(coarse)
    for factor in trained.head.scales:
        nn.init.constant_(factor, 2.0)
    save_detector(file, trained, coarse)
    same, finer = build_detector(coarse), build_detector(fine)
    start_from(same, coarse, file)
    start_from(finer, fine, file)
    assert [one.item() for one in same.head.scales] == [2.0] * 5
    assert [one.item() for one in finer.head.scales] == [1.0] * 6


def test_another_backbone_is_refused(tmp_path):
    other = SMALL._replace(backbone="resnet34")
    save_detector(tmp_path / "a.safetensors", build_detector(SMALL), SMALL)
    with pytest.raises(UserError, match=r"backbone=resnet34: backbone.body.layer1.2.conv1.weight"):
        start_from(build_detector(other), other, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="leave backbone_weights out"):
        DetectSettings.resolve(overrides=["start=x", "backbone_weights=imagenet"])
    assert DetectSettings(start="x").norm == "frozen"
    assert DetectSettings(start="x").initial_weights == "none"
