"""Detectors in files: written, read, stripped of what only their training needs."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from classify.detection.models.build import DetectorFacts, build_detector
from tgn.data.annotations.types import problem_of_class
from tgn.runtime.checkpoints import load_strictly, load_weights, read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.progress import Silent
from tgn.runtime.training_loop import STATE, whole_state

SUFFIX = ".safetensors"
CHECKPOINT = f"detector{SUFFIX}"
FORMAT = "classify-detect-1"


def save_detector(path: Path, net: nn.Module, facts: DetectorFacts) -> None:
    """Write the weights, with all that is needed to build the network again."""
    _save(path, net.state_dict(), facts)


def _save(path: Path, weights: dict[str, Tensor], facts: DetectorFacts) -> None:
    save_weights(path, weights, {"format": FORMAT, "facts": json.dumps(facts._asdict())})


def load_detector(path: Path) -> tuple[nn.Module, DetectorFacts]:
    """Read a detector written by :func:`save_detector`; in eval.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it holds something else.
    """
    facts, weights = facts_of(path), load_weights(path)
    net = build_detector(facts)
    load_strictly(net, weights, str(path))
    return net.eval(), facts


def facts_of(path: Path) -> DetectorFacts:
    """Read what a detector's file says of it.

    Raises:
        NotFoundError: if there is no such file.
        UserError: if it is of something else, or its classes could not name files.
    """
    told = read_metadata(path)
    if told.get("format") != FORMAT:
        raise UserError(f"{path} is no detector of classify detect train")
    try:
        facts = _facts(json.loads(told["facts"]))
        problems = [problem_of_class(name) for name in facts.classes]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not say what it is: {error!r}") from None
    if any(problems):
        raise UserError(f"{path}: {next(filter(None, problems))}")
    return facts


def _facts(told: dict[str, Any]) -> DetectorFacts:
    return DetectorFacts(**{**told, "classes": tuple(told["classes"])})


def publish(directory: Path, out: Path) -> int:
    """Write the student of a training's last checkpoint: no optimiser, no teacher.

    Args:
        directory: of the training, finished or not.
        out: a .safetensors file that every verb takes for a detector.

    Returns:
        How many steps it was trained.

    Raises:
        NotFoundError: if nothing was trained there.
        UserError: if the checkpoint is not whole, or OUT has another suffix or is something else.
    """
    if out.suffix != SUFFIX:
        raise UserError(f"{out}: expected a name that ends in {SUFFIX}")
    if out.exists():
        facts_of(out)  # what may be replaced
    state = whole_state(directory / STATE, Silent())
    if state is None:
        raise NotFoundError(f"no checkpoint in {directory}; classify detect train writes one")
    _save(out, state["trainer"]["net"], _facts(json.loads(state["made_from"])["facts"]))
    return int(state["step"])
