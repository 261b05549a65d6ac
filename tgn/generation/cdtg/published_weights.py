"""Conversion of the published TGN generator: from its state dict to our networks.

Only names, shapes and arithmetic are shared with the published code (see the parity test).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tgn.generation.cdtg.architecture import Architecture, build_generator
from tgn.generation.cdtg.generator import START_RESOLUTION, StyleGenerator
from tgn.runtime.errors import UserError

# Filters and Haar matrices, which we compute, and fixed noise, which we sample.
_CONSTANTS = ("kernel", "ll", "lh", "hl", "hh")
_FIXED_NOISE = "noises."


def published_architecture(state: Mapping[str, Tensor]) -> tuple[Architecture, int]:
    """Return the architecture of a published generator, from its shapes.

    Args:
        state: the dict under `g_ema` in a published checkpoint.

    Returns:
        The architecture and the number of classes. The published discriminator is not read.

    Raises:
        UserError: if keys are missing from which the shape is read.
    """
    num_layers = sum(name.endswith(".activate.bias") for name in state) - 1
    num_blocks = num_layers // 2
    first = ("label_emb.weight", "input.input", "to_rgb1.bias", "style.1.weight")
    ups = [f"convs.{2 * block}.conv.weight" for block in range(num_blocks)]
    missing = [name for name in (*first, *ups) if name not in state]
    if missing or not num_blocks:
        raise UserError(
            f"not a published TGN generator: of {len(state)} keys, missing {missing or 'convs.*'}. "
            "Pass the dict under 'g_ema' of a checkpoint such as 200000.pt."
        )
    num_classes, style_dim = state["label_emb.weight"].shape
    channels = {START_RESOLUTION: state["input.input"].shape[1]}
    channels |= {2 ** (3 + block): state[name].shape[1] for block, name in enumerate(ups)}
    arch = Architecture(
        size=2 * max(channels),
        bands=state["to_rgb1.bias"].numel() // 4,
        recombines=False,
        style_dim=style_dim,
        mapping_layers=sum(n.startswith("style.") and n.endswith(".weight") for n in state),
        channels=channels,
    )
    return arch, num_classes


def _layer_names(ours: str, theirs: str) -> dict[str, str]:
    """Map our names to theirs for one styled layer."""
    return _convolution_names(ours, theirs) | {
        f"{ours}.noise_strength": f"{theirs}.noise.weight",
        f"{ours}.bias": f"{theirs}.activate.bias",
    }


def _band_names(ours: str, theirs: str) -> dict[str, str]:
    """Map our names to theirs for one output layer of wavelet bands."""
    return _convolution_names(ours, theirs) | {f"{ours}.bias": f"{theirs}.bias"}


def _convolution_names(ours: str, theirs: str) -> dict[str, str]:
    parts = ("weight", "modulation.weight", "modulation.bias")
    return {f"{ours}.conv.{part}": f"{theirs}.conv.{part}" for part in parts}


def _published_names(mapping_layers: int, num_blocks: int) -> dict[str, str]:
    """Map each of our parameter names to the published one."""
    names = {"label_embedding.weight": "label_emb.weight", "constant": "input.input"}
    for layer in range(mapping_layers):
        for part in ("weight", "bias"):
            # Their layer 0 is the pixel norm.
            names[f"mapping_network.{layer}.{part}"] = f"style.{layer + 1}.{part}"
    names |= _layer_names("first", "conv1") | _band_names("first_bands", "to_rgb1")
    for block in range(num_blocks):
        names |= _layer_names(f"blocks.{block}.up", f"convs.{2 * block}")
        names |= _layer_names(f"blocks.{block}.same", f"convs.{2 * block + 1}")
        names |= _band_names(f"blocks.{block}.to_bands", f"to_rgbs.{block}")
    return names


def generator_from_published(state: Mapping[str, Tensor]) -> StyleGenerator:
    """Build our generator with the weights of a published one.

    Args:
        state: the dict under `g_ema` in a published checkpoint.

    Returns:
        A generator without grid, in eval mode, that returns the same images.

    Raises:
        UserError: for missing, unknown or misshapen entries, all of them listed.
    """
    arch, num_classes = published_architecture(state)
    with torch.device("meta"):  # a file may describe what would fill the memory
        shape = build_generator(arch, num_classes)
    names = _published_names(arch.mapping_layers, len(shape.blocks))
    _check_names(state, expected=set(names.values()))
    converted, misshapen = {}, []
    for ours, parameter in shape.state_dict().items():
        theirs = state[names[ours]]
        # Their weights carry axes of length 1 for the batch.
        if [n for n in theirs.shape if n > 1] != [n for n in parameter.shape if n > 1]:
            misshapen.append(f"{names[ours]} {[*theirs.shape]} for {[*parameter.shape]}")
        else:
            converted[ours] = theirs.reshape(parameter.shape)
    if misshapen:
        raise UserError(f"published generator has entries of a wrong shape: {misshapen}")
    generator = build_generator(arch, num_classes)
    generator.load_state_dict(converted)
    return generator.eval()


def _check_names(state: Mapping[str, Tensor], expected: set[str]) -> None:
    """Raise UserError if a weight is missing or unknown."""
    missing = sorted(expected - set(state))
    unknown = sorted(
        name
        for name in set(state) - expected
        if name.rpartition(".")[2] not in _CONSTANTS and not name.startswith(_FIXED_NOISE)
    )
    if missing or unknown:
        raise UserError(
            f"not a published TGN generator of the known layout: missing {missing}, "
            f"unknown {unknown}. Pass the dict under 'g_ema', unchanged."
        )
