"""The spectrum of images in three scales: are fine differences as strong as in real images?"""

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 3


def difference_energies(images_u8: Tensor) -> Tensor:
    """Return the energy of the Haar difference bands of images: finest, next and third scale.

    The three difference bands of an orthonormal Haar level hold what its mean band lacks
    (Parseval), so that their energy is that of the image less that of the mean band.

    Args:
        images_u8: [B, bands, H, W], 8 px a side or more; what exceeds a multiple of 8 is cut off.

    Returns:
        float64 [B, 3]: mean square a pixel and band, in squares of a byte's unit.

    Raises:
        ValueError: for smaller images.

    Source: Mallat 1989, "A theory for multiresolution signal decomposition"; that generators lack
    the fine bands: Durall et al. 2020 (arXiv 2003.01826).
    """
    step = 2**LEVELS
    height, width = (side // step * step for side in images_u8.shape[-2:])
    if not (height and width):
        raise ValueError(f"got images of {[*images_u8.shape[-2:]]} px, expected {step} px or more")
    low = images_u8[..., :height, :width].double()
    low = low - low.mean((-2, -1), keepdim=True)
    energies = [low.square().sum((1, 2, 3))]
    for _ in range(LEVELS):
        low = 2 * F.avg_pool2d(low, 2)  # the mean band of an orthonormal level
        energies.append(low.square().sum((1, 2, 3)))
    sums = torch.stack(energies, dim=1)
    return (sums[:, :-1] - sums[:, 1:]) / (images_u8.shape[1] * height * width)


def energy_ratio(
    generated: Tensor, real: Tensor, labels: Tensor, real_labels: Tensor
) -> Tensor | None:
    """Return the energies of generated images over those of real ones, at equal class shares.

    Args:
        generated: of :func:`difference_energies`, [N, L].
        real: the same of real images, [M, L].
        labels: classes, [N].
        real_labels: [M].

    Returns:
        [L], 1 as real ones; None where no class has both.
    """
    common = [k for k in labels.unique().tolist() if bool((real_labels == k).any())]
    if not common:
        return None
    ours, theirs = (
        torch.stack([(labels == k).sum() * table[own == k].mean(0) for k in common]).sum(0)
        for table, own in ((generated, labels), (real, real_labels))
    )
    return ours / theirs.clamp(min=1e-12)
