"""Import of a published TGN checkpoint as the generator of a run."""

from pathlib import Path
from typing import NamedTuple

import torch

from tgn.data.runs import Run
from tgn.data.split import Split
from tgn.generation.cdtg.checkpoint import UNTRAINED, save_conditional_generator
from tgn.generation.cdtg.conditional_generator import ConditionalGenerator
from tgn.generation.cdtg.generator import StyleGenerator
from tgn.generation.cdtg.published_weights import generator_from_published, published_architecture
from tgn.models.feature_bank import read_bank
from tgn.models.training_networks import as_header
from tgn.runtime.checkpoints import load_weights
from tgn.runtime.errors import UserError
from tgn.runtime.explanations import content_of, named
from tgn.runtime.files import sha256_of

AVERAGED = "g_ema"  # key of the averaged generator
VIEW = 0  # augmented view in the bank, for the features' mean and spread


class ImportedGenerator(NamedTuple):
    """What was imported from a published checkpoint."""

    path: Path  # of the generator's file in the run
    size: int  # of an image
    classes: tuple[int, ...]  # class index in the run of each published label


def import_generator(run: Run, file: Path) -> ImportedGenerator:
    """Write a published generator as ``cdtg/generator.safetensors``.

    A published checkpoint holds no fusion: the layers that mixed features into its latents were
    never trained and never saved. Images at r = 1, from class and noise, are the published ones;
    below that, features enter through a fusion that is as untrained as theirs.

    Args:
        run: split and distilled; it must not have a generator yet.
        file: a dict of tensors with the averaged generator under ``g_ema``, e.g. ``200000.pt``.

    Returns:
        Path, image size and class indices of the imported generator.

    Raises:
        NotFoundError: without the file or a feature bank.
        UserError: for a file that would run code on load, or has another layout or number of
            classes; if the run has a generator.
    """
    path = run.cdtg_generator
    if path.exists():
        raise UserError(f"{path} exists; import into another run: tgn split DATA --run NAME")
    split, bank = run.split(), read_bank(run.kmdn)
    state = load_weights(file, under=AVERAGED)
    with content_of(file), named(str(file)):
        numbers, num_classes = published_architecture(state)
        generator = generator_from_published(state)
    classes = _classes(num_classes, split)
    torch.manual_seed(0)
    network = ConditionalGenerator(numbers, split.num_classes, bank.features.shape[2])
    tail = bank.labels >= split.num_head
    network.fusion.standardise(bank.features[tail, VIEW].float())
    _place_weights(network.generator, generator, classes)
    save_conditional_generator(
        path,
        network,
        [entry.folder for entry in split.classes],
        tail_net_sha256=bank.weights_sha256,
        fusion=UNTRAINED,
        imported_sha256=sha256_of(file),
        trained_classes="all" if len(classes) == split.num_classes else "tail",
        trained_against=as_header(None),
    )
    return ImportedGenerator(path, numbers.size, classes)


def _place_weights(
    generator: StyleGenerator, published: StyleGenerator, classes: tuple[int, ...]
) -> None:
    """Load the published weights, each class embedding at its class index in the run."""
    weights = published.state_dict()
    embedding = weights["label_embedding.weight"]
    placed = embedding.mean(0).repeat(generator.num_classes, 1)  # of classes it does not have
    placed[list(classes)] = embedding
    generator.load_state_dict({**weights, "label_embedding.weight": placed})


def _classes(published: int, split: Split) -> tuple[int, ...]:
    """Return the class index in the run of each published label: its tail, or all its classes."""
    tail = tuple(split.tail_classes)
    if published == len(tail):
        return tail
    if published == split.num_classes:
        return tuple(range(published))
    raise UserError(
        f"the checkpoint has {published} classes, the run {len(tail)} tail classes of "
        f"{split.num_classes}; set the run's head_fraction so that the tail has {published}"
    )
