"""Adapters: small trained branches in the blocks of a frozen transformer."""

from typing import Any

import torch
from torch import Tensor, nn

from tgn.runtime.errors import UserError

INITIAL_SCALE = 0.1


class AdaptedMlp(nn.Module):
    """A block's MLP with a bottleneck beside it: MLP(x) + s up(relu(down(x))).

    Source: Chen et al. 2022, AdaptFormer (arXiv 2205.13535), eq. 5; s is trained, as in LIFT (Shi
    et al. 2024, arXiv 2309.10019). ``up`` begins at 0, so that the network begins as it was.
    Differs from AdaptFormer: the bottleneck reads what the MLP reads, behind the block's own
    layer norm.

    Args:
        mlp: [B, N, D] -> [B, N, D].
        width: D.
        size: of the bottleneck.
    """

    def __init__(self, mlp: nn.Module, width: int, size: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.adapter = nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Linear(size, width))
        self.adapter_scale = nn.Parameter(torch.tensor(INITIAL_SCALE))
        for parameter in self.adapter[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        return self.mlp(tokens) + self.adapter_scale * self.adapter(tokens)


def add_adapters(net: Any, size: int, arch: str) -> None:
    """Put an adapter into every block of a timm transformer.

    Raises:
        UserError: if the network has no blocks with an MLP.
    """
    blocks = [block for block in getattr(net, "blocks", ()) if hasattr(block, "mlp")]
    if not blocks or not hasattr(net, "embed_dim"):
        raise UserError(
            f"tuning=adapters got arch {arch}, which has no transformer blocks; take a vision "
            "transformer, e.g. vit_base_patch16_clip_224, or tuning=head"
        )
    for block in blocks:
        block.mlp = AdaptedMlp(block.mlp, int(net.embed_dim), size)


def is_of_adapter(name: str) -> bool:
    """Whether a parameter of that name belongs to an adapter."""
    return ".adapter." in name or name.endswith(".adapter_scale")
