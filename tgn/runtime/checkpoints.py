"""Weights as safetensors, training state without code, both written atomically."""

import argparse
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tgn.runtime.errors import DamagedError, NotFoundError, TgnError, UserError
from tgn.runtime.files import atomic_path, sha256_of
from tgn.runtime.remedies import remedy_for
from tgn.runtime.seals import CHECKSUM, sealed, unsealed

METADATA_KEY = "tgn"
TENSORS = "tensors_sha256"  # among the header strings
MAGIC = b"tgn-state-1 "
# Where checkpoints keep their state dict: timm, torchvision, Lightning and others.
WRAPPERS = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema",
    "state_dict", "model_state_dict", "model", "net", "weights",
)  # fmt: skip
DEEPEST = 3  # wrappers within wrappers
# Beside the tensors, checkpoints often hold the arguments of the command and an accuracy.
HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64", "bool")),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]
UNSUPPORTED = re.compile(r"Unsupported global: GLOBAL (\S+)")


def save_weights(
    path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a state dict as safetensors; ``metadata`` are strings stored in its header.

    They go under one key, since the library orders several at random: equal content gives equal
    bytes, and so the same SHA-256. Beside them stand checksums of the tensors and of themselves.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    entries = dict(sorted({**(metadata or {}), TENSORS: sha256_of_tensors(tensors)}.items()))
    header = {METADATA_KEY: json.dumps(sealed(entries))}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, header)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the header strings of a safetensors file; none if another program wrote it.

    Raises:
        UserError: if it is no whole file.
        DamagedError: if the strings are not those that were written.
    """
    metadata = _header(path)
    metadata.pop(TENSORS, None)
    return metadata


def _header(path: Path) -> dict[str, str]:
    """Return the strings as they were written, with the checksum of the tensors."""
    _require(path)
    try:
        with safe_open(path, framework="pt") as file:
            strings: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file: {error}; {remedy_for(path)}"
        ) from None
    try:
        return unsealed(json.loads(strings[METADATA_KEY]))
    except (KeyError, ValueError, AttributeError):
        if CHECKSUM in strings.get(METADATA_KEY, "") or any(TENSORS in s for s in strings.values()):
            raise _changed(path, "header") from None
        return {}  # of another program


def _changed(path: Path, what: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged: its {what} is not what was written; {remedy_for(path)}"
    )


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict from ``.safetensors``, or from a ``.pt``/``.pth`` file.

    A state dict within a checkpoint is found (``state_dict``, ``model``, ...); of several, a moving
    average is taken before the weights that it averages. A file that would run code on load is
    refused (``weights_only=True``).

    Raises:
        UserError: if the file cannot be read or holds no state dict.
        DamagedError: if it is of this toolkit, and not what was written.
    """
    content = load_content(path)
    found = _state_dict(content)
    if found is None:
        raise UserError(
            f"{path} holds {_described(content)}; expected a state dict (names to tensors), bare "
            f"or under one of {', '.join(WRAPPERS)}"
        )
    return found


def load_content(path: Path) -> Any:
    """Read what a file of weights holds, whatever it is; nothing in it is run.

    Raises:
        UserError: if the file cannot be read or would run code.
    """
    _require(path)
    try:
        if path.suffix == ".safetensors":
            return _whole_tensors(path)
        with torch.serialization.safe_globals(HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except TgnError:
        raise
    except Exception as error:  # unpickling a damaged or hostile file can raise anything
        raise UserError(_unreadable(path, error)) from None


def _whole_tensors(path: Path) -> dict[str, Tensor]:
    expected, tensors = _header(path).get(TENSORS), load_file(path)
    if expected is not None and sha256_of_tensors(tensors) != expected:
        raise _changed(path, "content")
    return tensors


def _unreadable(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if (named := UNSUPPORTED.search(reason)) is not None:
        return (
            f"cannot read weights from {path}: it holds pickled code ({named[1]}), which is not "
            "run; expected tensors only: where it was made, torch.save(model.state_dict(), FILE)"
        )
    return (
        f"cannot read weights from {path}: {reason[:300]}; "
        "expected a .safetensors file or a .pt/.pth file of tensors"
    )


def _state_dict(content: Any, depth: int = 0) -> dict[str, Tensor] | None:
    """Return the state dict that a checkpoint holds, or None."""
    if not isinstance(content, Mapping) or not content or depth > DEEPEST:
        return None
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return dict(content)
    inner = (_state_dict(content.get(key), depth + 1) for key in WRAPPERS)
    return next((found for found in inner if found is not None), None)


def _described(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"a value of type {type(content).__name__}"
    entries = [f"{key!r}: {type(value).__name__}" for key, value in content.items()]
    return f"a dict with {_first(entries)}" if entries else "an empty dict"


def sha256_of_whole(path: Path) -> str:
    """Return the SHA-256 of a file of weights that is what was written.

    Raises:
        UserError: if it is not.
    """
    load_content(path)
    return sha256_of(path)


def sha256_of_weights(net: nn.Module) -> str:
    """Return the SHA-256 of all parameters and saved buffers, for weights that are no one file."""
    return sha256_of_tensors(net.state_dict())


def sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the hexadecimal SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        values = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        digest.update(values.data)
    return digest.hexdigest()


def load_strictly(net: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load ``weights`` into ``net``; any missing, unknown or misshapen entry is an error."""
    own = net.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unknown = sorted(weights.keys() - own.keys())
    misshapen = [
        f"{name} {tuple(weights[name].shape)} != {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if missing or unknown or misshapen:
        raise UserError(
            f"{source} does not fit {type(net).__name__}: missing {_first(missing)}, "
            f"unknown {_first(unknown)}, other shape {_first(sorted(misshapen))}"
        )
    net.load_state_dict(dict(weights))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (tensors, numbers, strings, lists, dicts) atomically.

    Its SHA-256 stands before it, and the state that was there is kept beside it, so that a
    damaged file is noticed and the one before can serve.
    """
    content = io.BytesIO()
    torch.save(dict(state), content)
    data = content.getbuffer()
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)
        if path.is_file():
            path.replace(before(path))


def load_state(path: Path) -> dict[str, Any]:
    """Read what :func:`save_state` wrote; refuses anything that would run code.

    Raises:
        NotFoundError: if it is not there.
        DamagedError: if a byte is wrong or missing.
    """
    _require(path)
    with path.open("rb") as file:
        head, data = file.readline(len(MAGIC) + 65), file.read()
    if head != MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n":
        raise DamagedError(f"{path} is damaged: its content is not what was written")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def before(path: Path) -> Path:
    """Return where the state before ``path`` is kept."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def _require(path: Path) -> None:
    if not path.is_file():
        raise NotFoundError(f"no file {path}; expected a weight or checkpoint file there")


def _first(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} [{', '.join(names[:most])}{more}]"
