"""Export of a classifier to ONNX, for programs without torch."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from tgn.models.backbones import TappedNet
from tgn.models.inference import class_logits
from tgn.models.onnx_files import OnnxGraph, run_onnx, written_onnx
from tgn.runtime.errors import TgnError

TOLERANCE = 1e-4  # of logits, relative to the largest
CHECKED_IMAGES = 3  # another batch size than the one that was traced


class OnnxClassifier(nn.Module):
    """The exported graph: from pixels in [0, 1] to logits and probabilities, all views in it."""

    def __init__(self, net: TappedNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[B, bands, S, S] -> [B, C], [B, C]."""
        logits = class_logits(self.net, images * 2 - 1)
        return logits, logits.softmax(1)


def export_onnx(net: TappedNet, path: Path) -> float:
    """Write a classifier as ONNX and run it once with onnxruntime.

    Input ``images`` [B, bands, S, S], RGB or grey, in [0, 1]; outputs ``logits`` and
    ``probabilities`` [B, C]. The file's metadata has the class folders.

    Returns:
        The largest difference of a logit from torch's, relative to the largest logit.

    Raises:
        UserError: if the packages of the extra ``onnx`` are missing.
        TgnError: if the outputs of file and network differ; the file is then not written.
    """
    exported, facts = OnnxClassifier(net).cpu().float().eval(), net.facts
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(CHECKED_IMAGES, facts.bands, facts.size, facts.size, generator=rng)
    metadata = {"classes": json.dumps(facts.folders)}
    graph = OnnxGraph(exported, images[:2], ("logits", "probabilities"), metadata, any_batch=True)
    with written_onnx(path, graph) as session:
        actual, _ = run_onnx(session, images)
        with torch.inference_mode():
            expected = exported(images)[0]
        difference = float((actual - expected).abs().max() / expected.abs().max())
        if not difference <= TOLERANCE:
            raise TgnError(
                f"the ONNX file differs from the network by {difference:.1e} of its largest logit, "
                f"more than {TOLERANCE:.0e}; it was not written"
            )
    return difference
