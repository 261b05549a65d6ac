"""Training from an earlier or imported generator: its weights, placed at the classes of a run."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from tgn.generation.cdtg.architecture import Architecture
from tgn.generation.cdtg.checkpoint import load_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.runtime.errors import UserError

EMBEDDING = "label_embedding.weight"


def start_from(
    path: Path, folders: Sequence[str], expected: Architecture, feature_channels: int
) -> ConditionalGenerator:
    """Return a generator for the classes of a run that starts with the weights of a file.

    Classes are matched by their folder; one that the file lacks starts as the mean of those it has.
    Fusion starts anew where the file's cannot be used. What is measured of
    real images or kept of them is not taken over.

    Args:
        path: of a ``generator.safetensors`` that ``tgn train`` or ``tgn import`` wrote.
        folders: of the run's classes, by class index.
        expected: what the settings ask for; an imported generator has its own layers.
        feature_channels: D of the run's tail net.

    Raises:
        NotFoundError: without the file.
        UserError: if it is no such file, has another shape, or shares no class.
    """
    old, facts = load_conditional_generator(path)
    numbers = old.architecture
    if (numbers.size, numbers.bands) != (expected.size, expected.bands):
        raise UserError(
            f"start={path} draws {numbers.size} px with {numbers.bands} bands, expected "
            f"{expected.size} px with {expected.bands}; take size={numbers.size}, or another file"
        )
    if numbers.recombines and numbers != expected:
        raise UserError(
            f"start={path} has width {numbers.style_dim // 2}, expected "
            f"{expected.style_dim // 2}; take width={numbers.style_dim // 2}"
        )
    new = ConditionalGenerator(numbers, len(folders), feature_channels)
    weights = old.generator.state_dict()
    weights[EMBEDDING] = _placed(weights[EMBEDDING], facts.classes, folders, path)
    new.generator.load_state_dict(weights)
    if facts.fusion_is_trained and old.feature_channels == feature_channels:
        new.fusion.load_state_dict(old.fusion.state_dict())
    return new


def _placed(
    embedding: Tensor, classes: Sequence[str], folders: Sequence[str], path: Path
) -> Tensor:
    """Return the embedding of each folder, the mean of the known ones for others, [C, D]."""
    row_of = {name: row for row, name in enumerate(classes)}
    known = [row_of[folder] for folder in folders if folder in row_of]
    if not known:
        raise UserError(
            f"start={path} knows none of the run's classes; it has {', '.join(classes[:8])}"
        )
    placed = embedding[known].mean(0).repeat(len(folders), 1)
    for index, folder in enumerate(folders):
        if folder in row_of:
            placed[index] = embedding[row_of[folder]]
    return placed
