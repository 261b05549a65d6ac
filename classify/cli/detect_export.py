"""The verb that writes detectors for other programs: export."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.cli.detectors import NameOption, detector_file
from tgn.runtime.bounds import LARGEST_SIDE
from tgn.runtime.console import out
from tgn.runtime.errors import UserError

if TYPE_CHECKING:  # what needs torch is imported by the verb: --help must not wait for it
    from torch import Tensor

app = typer.Typer()
SMALLEST_SIDE = 32  # pixels


@app.command("export")
def export_verb(
    out_file: Annotated[Path, typer.Argument(metavar="OUT", help="An .onnx file.")],
    name: NameOption = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Of the images that it takes; default: a tile, or the long side."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="Compare on this picture; default: noise.")
    ] = None,
) -> None:
    """Write a detector as ONNX, compared with torch on an image by onnxruntime."""
    from classify.detection.checkpoints import load_detector
    from classify.detection.evaluation.export_onnx import export_detector

    if out_file.suffix != ".onnx":
        raise UserError(f"{out_file}: expected a name that ends in .onnx")
    chosen = _height_and_width(size)
    net, spec = load_detector(detector_file(name))
    side = spec.tile_size or spec.size
    height, width = chosen or (side, side)
    done = export_detector(net, spec, out_file, _picture(image, height, width))
    out.print(
        f"{out_file}: images [1, 3, {height}, {width}] in [0, 1] -> {', '.join(done.outputs)}, "
        f"{done.meaning}",
        markup=False,
    )
    if done.compared:
        what = "anchors" if spec.is_rotated else "detections"
        out.print(f"equal to torch on {done.compared} {what} of the test image")
    else:
        out.print("torch and the file find nothing in the test image; give another: --image FILE")


def _height_and_width(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    sides = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in sides):
        raise UserError(
            f"--size got {text!r}, expected height x width in pixels, {SMALLEST_SIDE} to "
            f"{LARGEST_SIDE} each: 640x512"
        )
    return sides


def _picture(file: Path | None, height: int, width: int) -> "Tensor":
    """Return the image to compare on, [3, H, W] in [0, 1]: a file's, scaled, or noise."""
    import numpy as np
    import torch

    from classify.detection.data.dataset import decode_image
    from classify.detection.evaluation.inference import unlabelled

    if file is None:
        return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    pixels = np.asarray(decode_image(unlabelled(file)).resize((width, height)), np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1).contiguous()
