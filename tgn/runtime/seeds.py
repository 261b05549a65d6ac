"""Random numbers that depend on what they are for, and on nothing else."""

import hashlib

import torch


def seed_of(*keys: int | str) -> int:
    """Return a 63-bit seed that is a fixed function of ``keys``.

    A step, a class or an image thus has its own stream: results do not depend on the order of
    work, the number of processes, or on where an interrupted run was resumed.
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in keys)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*keys: int | str) -> torch.Generator:
    """Return a CPU generator seeded by ``keys`` (see :func:`seed_of`)."""
    return torch.Generator().manual_seed(seed_of(*keys))
