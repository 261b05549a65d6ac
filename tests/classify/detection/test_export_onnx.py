"""Detectors as ONNX files: compared with torch before they are written."""

import json

import onnx
import pytest
import torch
from torch import nn

from classify.cli.detect_export import _height_and_width
from classify.detection.evaluation.export_onnx import (
    UprightGraph,
    _compare_finished,
    export_detector,
)
from classify.detection.models.build import DetectorSpec, build_detector
from tgn.runtime.errors import TgnError, UserError

CLASSES = ("a", "b")


def eager(detector: str):
    """Return a detector that finds something everywhere."""
    spec = DetectorSpec(detector, "resnet18", CLASSES, 64, fpn_channels=32)
    torch.manual_seed(0)
    net = build_detector(spec)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.constant_(module.bias, -1.0)
    return net.eval(), spec


@pytest.mark.parametrize(
    "detector",
    [
        pytest.param("retinanet", marks=pytest.mark.slow),
        "rotated-retinanet",
        pytest.param("faster-rcnn", marks=pytest.mark.slow),
        pytest.param("gfl", marks=pytest.mark.slow),
    ],
)
def test_a_file_finds_what_the_network_finds(tmp_path, detector):
    net, spec = eager(detector)
    image = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    done = export_detector(net, spec, tmp_path / "x.onnx", image)
    assert done.compared > 10
    model = onnx.load(str(tmp_path / "x.onnx"))
    metadata = {one.key: one.value for one in model.metadata_props}
    assert json.loads(metadata["classes"]) == list(CLASSES)
    assert ("before suppression" in metadata["outputs"]) == spec.is_rotated
    names = [one.name for one in model.graph.output]
    assert names == (["boxes", "scores"] if spec.is_rotated else ["boxes", "labels", "scores"])
    sides = [one.dim_value for one in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [1, 3, 48, 64]


def test_a_file_that_differs_is_refused():
    net, _ = eager("retinanet")
    image = torch.rand(3, 48, 64)
    graph = UprightGraph(net)
    with torch.inference_mode():
        boxes, labels, scores = graph(image[None])
    assert _compare_finished(graph, image, [boxes, labels, scores]) == len(boxes) > 10
    for changed in (
        [boxes + 5, labels, scores],
        [boxes, 1 - labels, scores],
        [boxes[:0], labels[:0], scores[:0]],
    ):
        with pytest.raises(TgnError, match="are alike; it was not written"):
            _compare_finished(graph, image, changed)


@pytest.mark.parametrize("text", ["640", "0x640", "640x", "31x640", "9x9999999", "axb"])
def test_sizes(text):
    assert _height_and_width("640x512") == (640, 512)
    with pytest.raises(UserError, match="height x width"):
        _height_and_width(text)
