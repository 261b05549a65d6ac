"""A real and a generated image of one class joined in one image."""

import torch
from torch import Tensor

SIDES = 4  # which half is generated: left, right, top, bottom


def join_halves(real_u8: Tensor, generated_u8: Tensor, sides: Tensor) -> Tensor:
    """Return images of which one half is real and the other one generated.

    Source: DiffuseMix (Islam et al. 2024, arXiv 2405.14881), section 3.2: the concatenation of an
    image and its generated variant by one of four masks. SYNAuG (Ye-Bin et al. 2023, arXiv
    2308.00994) mixes real and generated images, too, by mixup. Differs from DiffuseMix: the
    generated image is any of the class, and no fractal is blended in.

    Args:
        real_u8: [B, bands, H, W].
        generated_u8: images of the same classes, [B, bands, H, W].
        sides: generated half, [B]: 0 left, 1 right, 2 top, 3 bottom.
    """
    height, width = real_u8.shape[2:]
    vertical = torch.arange(height)[:, None].expand(height, width) < height // 2
    horizontal = torch.arange(width)[None].expand(height, width) < width // 2
    masks = torch.stack((horizontal, ~horizontal, vertical, ~vertical))[sides]  # [B, H, W]
    return torch.where(masks[:, None], generated_u8, real_u8)
