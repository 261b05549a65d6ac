"""What a file of weights may hold, whoever made it: dense finite numbers, as many as its bytes."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tgn.runtime.errors import UserError

LONGEST_NAME = 80  # characters of an entry that a message shows


def require_uncompressed(path: Path) -> None:
    """Refuse an archive that would unpack to more than it is: ``torch.save`` compresses nothing.

    Raises:
        UserError: naming the file.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise UserError(
            f"{path} is a compressed archive, which would unpack to {unpacked} bytes; expected a "
            "file of torch.save or safetensors as it was written"
        )


def require_usable(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse tensors that no network can take.

    Raises:
        UserError: naming the file and the first such tensor.
    """
    for name, tensor in weights.items():
        if reason := _problem(tensor):
            raise UserError(
                f"{path}: the tensor {shortened(name)} {reason}; put the file back from a copy, or "
                "save the weights of a training that has not diverged"
            )


def shortened(name: str) -> str:
    """Return the name of an entry, cut where it is longer than people can read."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def _problem(tensor: Tensor) -> str:
    """Return what is wrong with a tensor, "" if nothing is."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        return f"is {tensor.layout}, sparse, quantised or nested, not plain numbers"
    if tensor.device.type != "cpu":
        return f"has no numbers (it is on the device {tensor.device.type})"
    if tensor.is_complex():
        return f"holds complex numbers ({tensor.dtype})"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"claims {tensor.numel()} numbers, more than the file holds"
    if tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
        return f"has {int((~finite).sum())} of {tensor.numel()} numbers that are NaN or infinite"
    return ""
