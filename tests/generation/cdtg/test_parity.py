"""Our generator against the published one's outputs (data in TGN_SHARED, see its parity/README)."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tgn.generation.cdtg.published_weights import generator_from_published, published_architecture
from tgn.runtime.errors import UserError

SHARED = os.environ.get("TGN_SHARED")
PARITY = Path(SHARED or "") / "parity"
pytestmark = pytest.mark.skipif(
    not (SHARED and (PARITY / "reference_generator.npz").is_file()),
    reason="TGN_SHARED does not name a folder with parity/reference_generator.npz",
)
CONSTANTS = ("kernel", "ll", "lh", "hl", "hh")
TOLERANCE = 1e-3


def draw_entry(name: str, shape: list[int]) -> torch.Tensor:
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    scale, offset = 1.0, 0.0
    if name.startswith("style."):
        scale = 100.0 if name.endswith("weight") else 10.0
    elif name.endswith("modulation.bias"):
        scale, offset = 0.1, 1.0
    elif name.endswith(("noise.weight", "bias")):
        scale = 0.1
    return torch.from_numpy(offset + scale * values.astype(np.float32)).float()


def published_state(size: int) -> dict[str, torch.Tensor]:
    shapes = json.loads((PARITY / "reference_generator_keys.json").read_text())[str(size)]
    return {
        name: torch.zeros(shape)
        if name.rpartition(".")[2] in CONSTANTS
        else draw_entry(name, shape)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module", params=[32, 64])
def published(request):
    state = published_state(request.param)
    return state, generator_from_published(state)


def relative_error(ours: torch.Tensor, reference: np.ndarray) -> float:
    theirs = torch.from_numpy(reference)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@torch.no_grad()
def test_same_weights_same_images(published):
    state, generator = published
    reference = np.load(PARITY / "reference_generator.npz")
    w = generator.mapping(torch.from_numpy(reference["z"]), torch.from_numpy(reference["label"]))
    assert relative_error(w, reference["w"]) < TOLERANCE
    noise = [state[f"noises.noise_{i}"] for i in range(len(generator.noise_sizes))]
    images = generator.synthesis(w, noise)
    assert relative_error(images, reference[f"image_{generator.size}"]) < TOLERANCE


def test_architecture_is_read_from_the_shapes(published):
    state, generator = published
    arch, num_classes = published_architecture(state)
    assert (arch.size, num_classes, arch.mapping_layers, arch.style_dim) == (
        generator.size,
        3,
        8,
        512,
    )
    theirs = sum(
        value.numel()
        for name, value in state.items()
        if name.rpartition(".")[2] not in CONSTANTS and not name.startswith("noises.")
    )
    assert sum(p.numel() for p in generator.parameters()) == theirs


def test_every_strange_key_is_listed():
    state = published_state(32)
    del state["convs.1.noise.weight"], state["to_rgbs.0.bias"]
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match="convs.1.noise.weight") as caught:
        generator_from_published(state)
    assert "to_rgbs.0.bias" in str(caught.value)
    assert "extra.weight" in str(caught.value)


def test_wrong_shapes_are_listed():
    state = published_state(32)
    state["convs.1.conv.weight"] = state["convs.1.conv.weight"][..., :1]
    with pytest.raises(UserError, match=r"convs.1.conv.weight \[1, 512, 512, 3, 1\]"):
        generator_from_published(state)


def test_other_files_are_refused():
    with pytest.raises(UserError, match="g_ema"):
        generator_from_published({"fc.weight": torch.zeros(1)})
