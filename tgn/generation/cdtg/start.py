"""Training from an earlier or imported generator: its weights, placed at the classes of a run."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tgn.data.runs import Run
from tgn.generation.cdtg.architecture import Architecture
from tgn.generation.cdtg.checkpoint import (
    existing_generator,
    is_imported,
    load_conditional_generator,
)
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.settings import CdtgTrainSettings
from tgn.runtime.checkpoints import read_metadata
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.files import atomic_path

EMBEDDING = "label_embedding.weight"
IMPORTED = "imported"  # in place of a file: what tgn import wrote into the run


def start_file(run: Run, start: str) -> Path | None:
    """Return the generator that a training starts from, None if from none.

    Args:
        run: whose ``cdtg/`` is trained.
        start: the setting.

    Raises:
        NotFoundError: without the file, or without an imported generator in the run.
        UserError: if it is what the training overwrites.
    """
    if not start:
        return None
    if start == IMPORTED:
        found = [run.cdtg_generator] if is_imported(run.cdtg_generator) else []
        found += [run.cdtg_import] if run.cdtg_import.is_file() else []
        if not found:
            raise NotFoundError(
                f"start={IMPORTED} got run {run.name!r} without an imported generator; first: "
                "tgn import FILE"
            )
        return found[0]
    file = existing_generator(Path(start))
    if file.resolve() == run.cdtg_generator.resolve():
        remedy = "copy it to another place first"
        if is_imported(file):
            remedy = f"--init {IMPORTED} keeps it and starts from it"
        raise UserError(
            f"start={file} is this run's own generator, which training overwrites; {remedy}"
        )
    return file


def keep_import(run: Run) -> None:
    """Copy the run's imported generator, which a training that starts from it will replace."""
    if is_imported(run.cdtg_generator):
        with atomic_path(run.cdtg_import) as temporary:
            shutil.copyfile(run.cdtg_generator, temporary)


def fitted_to_start(run: Run, settings: CdtgTrainSettings) -> CdtgTrainSettings:
    """Return the settings with the size and width of the generator they start from, if not given.

    Raises:
        NotFoundError: without the generator.
        UserError: for a width where the generator has layers of its own.
    """
    file = start_file(run, settings.start)
    shape = read_metadata(file).get("architecture") if file else None
    if not shape:  # what else is wrong with the file is said when it is loaded
        return settings
    with content_of(Path(str(file))):
        numbers = Architecture.model_validate_json(shape)
    if not numbers.recombines and "width" in settings.model_fields_set:
        raise UserError(
            f"width got start={settings.start}, whose layers have widths of their own; leave width "
            "out"
        )
    fitting: dict[str, Any] = {"size": numbers.size}
    if numbers.recombines:
        fitting["width"] = numbers.style_dim // 2
    return settings.with_changes(
        {name: n for name, n in fitting.items() if name not in settings.model_fields_set}
    )


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
