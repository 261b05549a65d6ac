"""The Haar transform between an image and its four half-size bands."""

import torch
from torch import Tensor


def haar(images: Tensor) -> Tensor:
    """Split every 2x2 block into its mean and three differences (one orthonormal Haar level).

    The 4x4 matrix on the unshuffled pixels is applied as sums and differences: no product, so
    autocast leaves the precision alone. Source: SWAGAN (arXiv 2102.06108), section 3.

    Args:
        images: [B, C, H, W] with even H and W, any range.

    Returns:
        [B, 4C, H/2, W/2], band-major: mean, vertical, horizontal and diagonal difference, each of
        all C channels. A difference is first row (or column) minus second, as in the
        published generator. The bands have the second moment of the image.

    Raises:
        ValueError: if the shape is not [B, C, even, even].
    """
    if images.ndim != 4 or images.shape[2] % 2 or images.shape[3] % 2:
        raise ValueError(f"haar needs [B, C, even, even], got {[*images.shape]}")
    top, bottom = images[:, :, 0::2], images[:, :, 1::2]
    mean_rows, step_rows = (top + bottom) / 2, (top - bottom) / 2
    mean_left, mean_right = mean_rows[..., 0::2], mean_rows[..., 1::2]
    step_left, step_right = step_rows[..., 0::2], step_rows[..., 1::2]
    bands = (
        mean_left + mean_right,
        step_left + step_right,
        mean_left - mean_right,
        step_left - step_right,
    )
    return torch.cat(bands, dim=1)


def inverse_haar(bands: Tensor) -> Tensor:
    """Reconstruct the image from the bands of `haar`.

    Args:
        bands: [B, 4C, H, W], band-major.

    Returns:
        [B, C, 2H, 2W].

    Raises:
        ValueError: if the channels are not four bands of equal size.
    """
    if bands.ndim != 4 or bands.shape[1] % 4:
        raise ValueError(f"inverse_haar needs [B, 4C, H, W], got {[*bands.shape]}")
    mean, vertical, horizontal, diagonal = (bands / 2).chunk(4, dim=1)
    mean_left, mean_right = mean + horizontal, mean - horizontal
    step_left, step_right = vertical + diagonal, vertical - diagonal
    top = torch.stack((mean_left + step_left, mean_right + step_right), dim=-1)
    bottom = torch.stack((mean_left - step_left, mean_right - step_right), dim=-1)
    return torch.stack((top.flatten(-2), bottom.flatten(-2)), dim=-2).flatten(-3, -2)
