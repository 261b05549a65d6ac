"""Detectors in files: written, read, and stripped of optimiser and teacher."""

import json
from pathlib import Path

from torch import Tensor, nn

from classify.detection.models.build import DetectorSpec, build_detector
from tgn.data.annotations.types import problem_of_class
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.progress import Silent
from tgn.runtime.rebuilt import rebuilt
from tgn.runtime.training_loop import STATE, whole_state

SUFFIX = ".safetensors"
CHECKPOINT = f"detector{SUFFIX}"
FORMAT = "classify-detect-1"


def save_detector(path: Path, net: nn.Module, spec: DetectorSpec) -> None:
    """Write the weights, with the specification that the network is rebuilt from."""
    _save(path, net.state_dict(), spec)


def _save(path: Path, weights: dict[str, Tensor], spec: DetectorSpec) -> None:
    save_weights(path, weights, {"format": FORMAT, "facts": json.dumps(spec.to_record())})


def load_detector(path: Path) -> tuple[nn.Module, DetectorSpec]:
    """Read a detector written by :func:`save_detector`.

    Returns:
        The network in eval mode, on the CPU, and its specification.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it holds something else.
    """
    spec, weights = read_spec(path), load_weights(path)
    net = rebuilt(lambda: build_detector(spec), weights, str(path))
    return net.eval(), spec


def read_spec(path: Path) -> DetectorSpec:
    """Read the specification of a detector from its file's header.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it holds something else, or a class name that cannot name a file.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is no detector; expected a file that classify detect train has written"
        )
    with content_of(path):
        spec = DetectorSpec.from_record(json.loads(metadata["facts"]))
        problems = [problem_of_class(name) for name in spec.classes]
    if any(problems):
        raise UserError(f"{path}: {next(filter(None, problems))}")
    return spec


def publish(directory: Path, out: Path) -> int:
    """Write the student of a training's last checkpoint, without optimiser and teacher.

    Its weights are those with the best look at the validation part, or without one the last.

    Args:
        directory: of the training, finished or not.
        out: a .safetensors file that every verb takes as a detector.

    Returns:
        The number of steps these weights were trained.

    Raises:
        NotFoundError: if nothing was trained there.
        UserError: if the checkpoint is damaged, or OUT has another suffix or is something else.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"{out}: expected a name that ends in {SUFFIX}")
    if out.exists():
        read_spec(out)  # only a detector may be replaced
    state = whole_state(directory / STATE, Silent())
    if state is None:
        raise NotFoundError(f"no checkpoint in {directory}; classify detect train writes one")
    spec = DetectorSpec.from_record(json.loads(state["made_from"])["facts"])
    trained = state["trainer"]
    if best := trained.get("best", {}).get("weights"):
        _save(out, best, spec)
        return int(trained["best"]["step"])
    _save(out, trained["net"], spec)
    return int(state["step"])
