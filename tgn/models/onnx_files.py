"""Networks as ONNX files, for programs without torch; each is run once before it gets its name."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tgn.runtime.errors import UserError
from tgn.runtime.files import atomic_path

OPSET = 18
INPUT = "images"


class OnnxGraph(NamedTuple):
    """What is exported."""

    net: nn.Module  # in eval mode, on the CPU, float32
    example: Tensor  # an input
    outputs: Sequence[str]  # their names
    metadata: Mapping[str, str]  # of the file
    any_batch: bool = False  # whether the first dimension of the input is free


@contextmanager
def written_onnx(path: Path, graph: OnnxGraph) -> Iterator[Any]:
    """Write a network as ONNX and yield an onnxruntime session of it, to be compared with torch.

    The file gets its name when the block has ended without an error.

    Raises:
        UserError: if the packages of the extra ``onnx`` are missing.
    """
    onnx, runtime = _packages()
    with atomic_path(path) as temporary:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            # Deprecations inside the exporter, and whole graphs that it prints while it tries.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph.net,
                (graph.example,),
                str(temporary),
                input_names=[INPUT],
                output_names=list(graph.outputs),
                dynamic_shapes=({0: torch.export.Dim("batch")},) if graph.any_batch else None,
                opset_version=OPSET,
                external_data=False,
                dynamo=True,
                verbose=False,
            )
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, dict(graph.metadata))
        onnx.save(model, str(temporary))
        yield runtime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])


def run_onnx(session: Any, images: Tensor) -> list[Tensor]:
    """Return the outputs of a file for images."""
    return [torch.from_numpy(one) for one in session.run(None, {INPUT: images.numpy()})]


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch.onnx needs it)
    except ImportError as error:
        raise UserError(
            f"export to ONNX needs {error.name}; install it with: pip install 'tgn[onnx]'"
        ) from None
    return onnx, onnxruntime
