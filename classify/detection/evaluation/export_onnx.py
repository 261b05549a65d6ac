"""Export of a detector to ONNX, for programs without torch.

Upright detectors are exported whole. Of rotated ones the boxes before suppression are: ONNX has no
suppression of rotated boxes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.ops import boxes as box_ops
from torchvision.ops import nms

from classify.detection.average_precision import Detections
from classify.detection.boxes.coders import expected_value
from classify.detection.models import dense
from classify.detection.models.build import DetectorSpec, detect
from tgn.models.onnx_files import OnnxGraph, run_onnx, written_onnx
from tgn.runtime.errors import TgnError

BOX_TOLERANCE, SCORE_TOLERANCE = 1e-3, 1e-3  # of the image's longer side; absolute
SHARE_ALIKE = 0.99  # of detections: scores that are equal but for rounding may change places
CLASS_OFFSET = 5000.0  # pixels between classes, more than any box reaches over its image
MAX_DIFFERENCE = 1e-3  # of decoded rotated boxes, relative to the largest number
FINISHED = "suppressed; boxes are left, top, right, bottom in pixels of the image; labels from 0"
RAW = (
    "of every anchor, before suppression; boxes are centre x, y, width, height in pixels of the "
    "image and angle in radians; scores [A, C]; suppress each class at IoU {}"
)


class Exported(NamedTuple):
    """What was written and compared."""

    outputs: tuple[str, ...]
    meaning: str
    compared: int  # detections (or, of rotated boxes, anchors) of the test image


class UprightGraph(nn.Module):
    """Image [1, 3, H, W] in [0, 1] -> boxes [N, 4], labels [N], scores [N]."""

    outputs = ("boxes", "labels", "scores")

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.shift = net, int(isinstance(net, FasterRCNN))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[1, 3, H, W] -> [N, 4], [N], [N]."""
        found = self.net([images[0]])[0]
        return found["boxes"], found["labels"] - self.shift, found["scores"]


class RotatedGraph(nn.Module):
    """Image [1, 3, H, W] in [0, 1] -> boxes [A, 5] and scores [A, C] of every anchor."""

    outputs = ("boxes", "scores")

    def __init__(self, net: dense.DenseDetector) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 3, H, W] -> [A, 5], [A, C]."""
        predictions = self.net.predict([images[0]])
        values = expected_value(predictions.box_logits[0], self.net.coder.bins)
        boxes = self.net.coder.decode(values, predictions.anchors)
        ((across, down),) = dense.scale_factors(predictions, [images[0]])
        boxes = dense.scale_boxes(boxes, (1 / across, 1 / down))
        return boxes, predictions.class_logits[0].sigmoid()


def export_detector(net: nn.Module, spec: DetectorSpec, path: Path, image: Tensor) -> Exported:
    """Write a detector as ONNX and compare it with torch on an image.

    Input ``images`` [1, 3, H, W] in [0, 1], of the size of ``image`` only. The file's metadata has
    the classes, what the outputs are, and the smallest score.

    Args:
        net: from :func:`load_detector`, on the CPU.
        spec: its specification.
        path: of the file.
        image: to compare on, [3, H, W] in [0, 1].

    Raises:
        UserError: if the packages of the extra ``onnx`` are missing.
        TgnError: if file and network differ; the file is then not written.
    """
    net = net.cpu().float().eval()
    graph: Any = RotatedGraph(net) if spec.is_rotated else UprightGraph(net)  # type: ignore[arg-type]
    meaning = RAW.format(dense.ROTATED_NMS_IOU) if spec.is_rotated else FINISHED
    metadata = {
        "classes": json.dumps(spec.classes),
        "detector": spec.detector,
        "outputs": f"{', '.join(graph.outputs)}: {meaning}",
        "min_score": "0" if spec.is_rotated else str(dense.MIN_SCORE),
    }
    parts = OnnxGraph(graph.eval(), image[None], graph.outputs, metadata)
    with _suppression_without_branches(), written_onnx(path, parts) as session:
        actual = run_onnx(session, image[None])
        compared = (_compare_raw if spec.is_rotated else _compare_finished)(graph, image, actual)
    return Exported(graph.outputs, meaning, compared)


@contextmanager
def _suppression_without_branches() -> Iterator[None]:
    """Let suppression by class be one operation while a network is traced.

    torchvision's own takes one of two ways by the number of boxes, which tracing does not know.
    """
    with (
        patch.object(box_ops, "batched_nms", _nms_by_class),
        patch.object(dense, "batched_nms", _nms_by_class),
    ):
        yield


def _nms_by_class(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> Tensor:
    return nms(boxes + labels.to(boxes)[:, None] * CLASS_OFFSET, scores, threshold)


def _compare_raw(graph: nn.Module, image: Tensor, actual: list[Tensor]) -> int:
    with torch.inference_mode():
        expected = graph(image[None])
    for found, wanted in zip(actual, expected, strict=True):
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))
        if not difference <= MAX_DIFFERENCE:
            raise TgnError(
                f"the ONNX file differs from the network by {difference:.1e} of its largest "
                f"number, more than {MAX_DIFFERENCE:.0e}; it was not written"
            )
    return len(actual[0])


def _compare_finished(graph: UprightGraph, image: Tensor, actual: list[Tensor]) -> int:
    found = Detections(*actual)
    (wanted,) = detect(graph.net, [image])
    alike = min(_share_found(wanted, found, image), _share_found(found, wanted, image))
    if alike < SHARE_ALIKE:
        raise TgnError(
            f"of {len(wanted.scores)} detections of the network and {len(found.scores)} of the "
            f"ONNX file only {100 * alike:.1f}% are alike; it was not written"
        )
    return len(wanted.scores)


def _share_found(some: Detections, others: Detections, image: Tensor) -> float:
    """Return which share of detections, but those at the lowest score, is among others."""
    clear = some.with_score(dense.MIN_SCORE + SCORE_TOLERANCE)
    if not len(clear.scores):
        return 1.0
    reach = BOX_TOLERANCE * max(image.shape[1:])
    is_near = (clear.boxes[:, None] - others.boxes).abs().amax(dim=2) <= reach
    is_near &= (clear.scores[:, None] - others.scores).abs() <= SCORE_TOLERANCE
    is_near &= clear.labels[:, None] == others.labels
    return float(is_near.any(dim=1).float().mean())
