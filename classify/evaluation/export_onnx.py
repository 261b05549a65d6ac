"""Export of a classifier to ONNX, for programs without torch."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tgn.models.backbones import TappedNet
from tgn.models.inference import class_logits
from tgn.runtime.errors import TgnError, UserError
from tgn.runtime.files import atomic_path

OPSET = 18
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
    onnx, runtime = _packages()
    exported, facts = OnnxClassifier(net).cpu().float().eval(), net.facts
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(CHECKED_IMAGES, facts.bands, facts.size, facts.size, generator=rng)
    with atomic_path(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            torch.onnx.export(
                exported,
                (images[:2],),
                str(temporary),
                input_names=["images"],
                output_names=["logits", "probabilities"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, {"classes": json.dumps(facts.folders)})
        onnx.save(model, str(temporary))
        session = runtime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        actual = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
        with torch.inference_mode():
            expected = exported(images)[0]
        difference = float((actual - expected).abs().max() / expected.abs().max())
        if not difference <= TOLERANCE:
            raise TgnError(
                f"the ONNX file differs from the network by {difference:.1e} of its largest logit, "
                f"more than {TOLERANCE:.0e}; it was not written"
            )
    return difference


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise UserError(
            f"classify export needs {error.name}; install it with: pip install 'tgn[onnx]'"
        ) from None
    return onnx, onnxruntime
