"""A CLIP with random weights and two towers of one layer, under a name that open_clip knows."""

from pathlib import Path

import open_clip
import torch

from tgn.runtime.checkpoints import save_weights

CONFIG = Path(__file__).with_name("small-test-clip.json")
ARCH = CONFIG.stem


def write_small_clip(folder: Path) -> str:
    """Write such a network; return how ``--set clip=`` names it."""
    if ARCH not in open_clip.list_models():
        open_clip.add_model_config(CONFIG)
    torch.manual_seed(0)
    file = folder / "clip.safetensors"
    save_weights(file, open_clip.create_model(ARCH).state_dict())
    return f"{ARCH}:{file}"
