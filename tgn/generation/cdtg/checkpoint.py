"""The file of a trained CDTG generator: written by training and import, read without a run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, Json, model_validator

from tgn.generation.cdtg.architecture import Architecture
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.models.training_networks import TrainingNetwork, from_header
from tgn.runtime.checkpoints import load_weights, read_metadata, save_weights
from tgn.runtime.errors import NotFoundError, UserError
from tgn.runtime.explanations import content_of
from tgn.runtime.names import InnerPath, OptionalInnerPath
from tgn.runtime.rebuilt import rebuilt

FORMAT = "tgn-cdtg-2"
KEPT_FILES = "kept_files"  # of the real images in the file; older versions did not name them
UNTRAINED = "untrained"  # the fusion of an imported generator


@dataclass(frozen=True)
class GeneratorFacts:
    """What a generator's file says beside weights and architecture.

    Attributes:
        tail_net_sha256: of the tail net whose features it takes.
        classes: folder name of each class, by class index; empty in files of older versions.
        fusion_is_trained: False for imported generators, which can use no features.
        trained_against: frozen networks that its losses used; None for imported generators.
    """

    tail_net_sha256: str
    classes: tuple[str, ...] = ()
    fusion_is_trained: bool = True
    trained_against: tuple[TrainingNetwork, ...] | None = None


class _Header(BaseModel):
    """The header of a generator's file, as far as the network is built from it."""

    architecture: Json[Architecture]
    num_classes: Annotated[int, Field(ge=1, le=100_000)]
    feature_channels: Annotated[int, Field(ge=1, le=100_000)]
    tail_net_sha256: str
    classes: Json[tuple[InnerPath, ...]] = ()
    kept_files: Json[list[OptionalInnerPath]] = []
    fusion: str = ""

    @model_validator(mode="after")
    def _classes_are_counted(self) -> Self:
        if self.classes and len(self.classes) != self.num_classes:
            raise ValueError(f"{len(self.classes)} class folders for {self.num_classes} classes")
        return self


def save_conditional_generator(
    path: Path,
    network: ConditionalGenerator,
    classes: Sequence[str],
    tail_net_sha256: str,
    **metadata: str,
) -> None:
    """Write a generator so that `load_conditional_generator` can build it again.

    Args:
        path: of the file.
        network: with the weights to use.
        classes: folder name of each class, by class index.
        tail_net_sha256: of the tail net whose features it takes.
        metadata: more strings for the header.
    """
    header = {
        "format": FORMAT,
        "architecture": network.architecture.model_dump_json(),
        "num_classes": str(network.num_classes),
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "feature_channels": str(network.feature_channels),
        "tail_net_sha256": tail_net_sha256,
    }
    if network.recombination is not None:
        header[KEPT_FILES] = json.dumps(network.recombination.files, ensure_ascii=False)
    save_weights(path, network.state_dict(), header | metadata)


def is_imported(path: Path) -> bool:
    """Return whether there is a generator at ``path`` that ``tgn import`` wrote."""
    return path.is_file() and read_metadata(path).get("fusion") == UNTRAINED


def existing_generator(path: Path) -> Path:
    """Return the path of a generator's file.

    Raises:
        NotFoundError: if it is not there; says which command makes it.
    """
    if not path.is_file():
        raise NotFoundError(f"no trained generator in {path}; make it with: tgn train")
    return path


def load_conditional_generator(path: Path) -> tuple[ConditionalGenerator, GeneratorFacts]:
    """Load a generator from its file alone.

    Args:
        path: of a ``generator.safetensors`` that ``tgn train`` or ``tgn import`` wrote.

    Returns:
        The generator, on the CPU, in eval mode and without gradients; and what the file says of it.

    Raises:
        NotFoundError: if there is no such file; says which command makes it.
        UserError: if it is no CDTG generator, or damaged.
    """
    header = read_metadata(existing_generator(path))
    if header.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {header.get('format')!r}, expected {FORMAT!r}; make it anew with: "
            "tgn train --no-resume (or tgn import)"
        )
    with content_of(path):
        known = _Header.model_validate(header)
        facts = GeneratorFacts(
            known.tail_net_sha256, known.classes, known.fusion != UNTRAINED, from_header(header)
        )
        network = rebuilt(
            lambda: ConditionalGenerator(
                known.architecture, known.num_classes, known.feature_channels
            ),
            load_weights(path),
            str(path),
        )
    if network.recombination is not None:
        with content_of(path):
            network.recombination.name_files(known.kept_files)
    return network.eval().requires_grad_(False), facts
