"""torchvision's detectors as we build them: any backbone, empty images, weights of files."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18, resnet34
from torchvision.ops import FrozenBatchNorm2d

from classify.detection.checkpoints import FORMER, read_spec
from classify.detection.models.backbones import (
    PyramidForm,
    build_pyramid,
    freeze_stages,
    hold_norms,
)
from classify.detection.models.build import DetectorSpec, build_detector, detect, make_targets
from classify.detection.settings.detector import DetectSettings
from tgn.models.backbones import build_backbone, save_classifier
from tgn.models.settings import BackboneSettings
from tgn.runtime.checkpoints import save_weights
from tgn.runtime.errors import UserError

CLASSES = ("ship", "plane", "tank")


def spec(detector="retinanet", backbone="resnet18", frozen=False) -> DetectorSpec:
    return DetectorSpec(detector, backbone, CLASSES, 64, frozen)


@pytest.mark.parametrize(
    ("detector", "backbone"),
    [("faster-rcnn", "resnet18"), ("retinanet", "resnet18"), ("faster-rcnn", "mobilenetv2_100")],
)  # fmt: skip
def test_every_detector_trains_also_on_images_without_objects(detector, backbone):
    torch.manual_seed(0)
    net = build_detector(spec(detector, backbone))
    boxes = [torch.tensor([[5.0, 5.0, 30.0, 40.0]]), torch.zeros(0, 4)]
    labels = [torch.tensor([2]), torch.zeros(0, dtype=torch.int64)]
    targets = [make_targets(net, b, k) for b, k in zip(boxes, labels, strict=True)]
    losses = net([torch.rand(3, 64, 64), torch.rand(3, 48, 64)], targets)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    grown = [p for p in net.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(grown) > 0.8 * len(list(net.parameters()))
    found = detect(net.eval(), [torch.rand(3, 50, 70)])
    assert len(found) == 1
    assert ((found[0].labels >= 0) & (found[0].labels < len(CLASSES))).all()


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet", "gfl", "rotated-retinanet"])
def test_small_images_have_the_scale_of_tiles(detector):
    tiles = DetectorSpec(detector, "resnet18", CLASSES, 64, fpn_channels=32, tile_size=128)
    whole = tiles._replace(tile_size=None)
    image = torch.rand(3, 40, 80)
    for chosen, shape in ((tiles, (20, 40)), (whole, (32, 64))):
        prepared, targets = build_detector(chosen).transform(
            [image], [{"boxes": torch.tensor([[8.0, 10, 40, 30]])}]
        )
        assert prepared.image_sizes == [shape]
        factor = shape[0] / 40
        expected = torch.tensor([[8.0, 10, 40, 30]]) * factor
        torch.testing.assert_close(targets[0]["boxes"], expected)
    at_once, _ = build_detector(tiles._replace(size=128)).transform([image])
    assert at_once.image_sizes == [(40, 80)]  # not enlarged, but padded
    assert at_once.tensors.shape[-2:] == (64, 96)


@pytest.mark.parametrize("backbone", ["resnet18", "vgg11", "vgg11_bn", "tf_efficientnet_lite0"])
def test_the_pyramid_starts_at_stride_four_or_eight(backbone):
    for (is_dense, finest), strides in {
        (False, 4): [4, 8, 16, 32, 64],
        (True, 8): [8, 16, 32, 64, 128],
        (True, 4): [4, 8, 16, 32, 64, 128],
    }.items():
        pyramid = build_pyramid(backbone, PyramidForm(8, is_dense, finest)).eval()
        maps = pyramid(torch.rand(1, 3, 128, 128))
        assert [128 // one.shape[-1] for one in maps.values()] == strides


@torch.no_grad()
def test_with_normalisation_the_levels_of_a_pyramid_weigh_alike():
    torch.manual_seed(0)
    net = build_detector(
        DetectorSpec("gfl", "mobilenetv2_100", CLASSES, 128, fpn_channels=32, fpn_norm="group"),
        "imagenet",
    ).eval()
    stages = net.backbone.body(torch.randn(2, 3, 128, 128))
    given = [float(one.std()) for one in stages.values()]
    inner = net.backbone.fpn.inner_blocks
    normed = [float(f(x).std()) for f, x in zip(inner, stages.values(), strict=True)]
    assert max(given) > 2 * min(given)
    assert normed == pytest.approx([1.0] * 3, abs=0.01)


def test_a_classifier_of_ours_sees_in_a_detector_what_it_saw(tmp_path):
    torch.manual_seed(0)
    source = build_backbone(BackboneSettings(arch="resnet18", size=96), CLASSES)
    source(torch.rand(8, 3, 96, 96))  # moves the means of batch normalisation
    save_classifier(tmp_path / "net.safetensors", source.eval())
    net = build_detector(spec(frozen=True), str(tmp_path / "net.safetensors")).eval()
    pixels = torch.rand(1, 3, 96, 96)
    prepared, _ = net.transform([pixels[0]])
    seen = net.backbone.body.conv1(prepared.tensors)
    resized = F.interpolate(pixels, size=(64, 64), mode="bilinear")
    wanted = source.net.bn1(source.net.conv1((resized - 0.5) / 0.5))
    inside = (..., slice(2, -2), slice(2, -2))  # where the convolution reads no padding
    torch.testing.assert_close(net.backbone.body.bn1(seen)[inside], wanted[inside])


@pytest.mark.parametrize(
    ("backbone", "still", "moving"),
    [
        ("resnet18", "layer1", "layer2"),
        ("vgg11_bn", "4", "8"),
        ("mobilenetv2_100", "net.blocks.1", "net.blocks.2"),
    ],
)
def test_the_first_stages_are_trained_no_more(backbone, still, moving):
    pyramid = build_pyramid(backbone, PyramidForm(8, is_dense=False))
    freeze_stages(pyramid, 0)
    assert all(p.requires_grad for p in pyramid.parameters())
    freeze_stages(pyramid, 1)
    body = pyramid.body
    assert not any(p.requires_grad for p in body.get_submodule(still).parameters())
    assert not next(body.parameters()).requires_grad
    assert all(p.requires_grad for p in body.get_submodule(moving).parameters())
    with pytest.raises(UserError, match="frozen_stages needs backbone_weights"):
        DetectSettings.resolve(frozen_stages=1, backbone="resnet18")


def test_packaged_weights_see_pixels_as_in_their_own_training():
    settings = BackboneSettings(arch="tf_efficientnet_lite0", size=96)
    source = build_backbone(settings, CLASSES).eval().net
    net = build_detector(spec(backbone=settings.arch, frozen=True), "imagenet").eval()
    pixels = torch.rand(1, 3, 64, 64)
    prepared, _ = net.transform([pixels[0]])
    body = net.backbone.body.net
    seen = body.bn1(body.conv_stem(prepared.tensors))
    wanted = source.bn1(source.conv_stem((pixels - 0.5) / 0.5))
    inside = (..., slice(1, -1), slice(1, -1))  # where the convolution reads no padding
    torch.testing.assert_close(seen[inside], wanted[inside], atol=1e-4, rtol=1e-4)


def test_statistics_of_norms_are_held_and_their_weights_trained():
    pyramid = build_pyramid("mobilenetv2_100", PyramidForm(8, is_dense=True), "imagenet").train()
    hold_norms(pyramid, "statistics")
    norms = [one for one in pyramid.body.modules() if isinstance(one, nn.BatchNorm2d)]
    assert norms
    assert not any(one.training for one in norms)
    assert all(one.weight.requires_grad for one in norms)
    hold_norms(pyramid.train(), "trained")
    assert all(one.training for one in norms)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [("nonet", "neither torchvision nor timm has it"), ("vit_tiny_patch16_224", "has no maps of")],
)
def test_a_network_without_the_maps_is_refused(backbone, message):
    with pytest.raises(UserError, match=message):
        build_detector(spec(backbone=backbone))


def test_the_first_format_of_files_had_normalisation_in_vgg(tmp_path):
    file = tmp_path / "old.safetensors"
    record = spec(backbone="vgg11").to_record()
    save_weights(file, {"w": torch.zeros(1)}, {"format": FORMER, "facts": json.dumps(record)})
    assert read_spec(file).backbone == "vgg11_bn"


@pytest.mark.parametrize(("size", "bands"), [(64, 3), (96, 1)])
def test_a_classifier_of_small_or_grey_images_is_no_backbone(tmp_path, size, bands):
    source = build_backbone(BackboneSettings(arch="resnet18", size=size, bands=bands), CLASSES)
    save_classifier(tmp_path / "net.safetensors", source)
    with pytest.raises(UserError, match=f"of 64 pixels or less, or of {bands} bands.*size=96"):
        build_detector(spec(), str(tmp_path / "net.safetensors"))


def test_weights_of_a_file_are_taken_and_frozen(tmp_path):
    source = resnet18(num_classes=7)
    torch.save(source.state_dict(), tmp_path / "net.pth")
    net = build_detector(spec(frozen=True), str(tmp_path / "net.pth"))
    assert torch.equal(net.backbone.body.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    kinds = {type(module) for module in net.backbone.body.modules()}
    assert FrozenBatchNorm2d in kinds
    assert nn.BatchNorm2d not in kinds
    with pytest.raises(UserError, match="as resnet50"):
        build_detector(spec(backbone="resnet50"), str(tmp_path / "net.pth"))
    torch.save(resnet34().state_dict(), tmp_path / "larger.pth")
    with pytest.raises(UserError, match="as resnet18"):
        build_detector(spec(), str(tmp_path / "larger.pth"))
