"""How hard each term of the generator's loss pulls at the images."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tgn.runtime.devices import Device


def gradient_norms(
    terms: Mapping[str, Tensor], weights: Mapping[str, float], images: Tensor, device: Device
) -> dict[str, Tensor]:
    """Return the norm of the gradient of each weighted term with respect to the generated images.

    It is taken at the generator's output, over all values of all images of the global batch
    together. No gradient of a parameter changes, and the graph stays for the training's own pass.

    Args:
        terms: scalars computed from ``images``, means over this process's part of the batch.
        weights: of each term in the loss.
        images: [B, bands, H, W], with gradient.
        device: sums over processes.

    Returns:
        Name of the term, ``grad_`` in place of ``g_``, to its norm; equal on all processes.
    """
    squares = []
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(weights[name] * term, images, retain_graph=True)
        squares.append(gradient.float().square().sum())
    # The loss is the mean over processes: each image's gradient is that of its process over P.
    norms = device.total(torch.stack(squares)).sqrt() / device.processes
    return dict(zip(map(gradient_name, terms), norms, strict=True))


def gradient_name(term: str) -> str:
    """Return the name in the log of the gradient norm of a term, ``grad_x`` of ``g_x``."""
    return f"grad_{term.removeprefix('g_')}"
