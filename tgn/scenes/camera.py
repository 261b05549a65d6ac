"""A painted scene as a camera records it: air, lens, sensor noise and compression."""

import math
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tgn.scenes.canvas import Paint
from tgn.scenes.noise import smooth_noise
from tgn.scenes.shapes import Field

LUMA = np.array([0.299, 0.587, 0.114], np.float32).reshape(3, 1, 1)


def _blurred(pixels: Paint, amount: float) -> Paint:
    """Apply the filter [a, 1 - 2a, a] in both directions, edges repeated."""
    side = np.float32(amount)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = padded[:, 1:-1] * (1 - 2 * side) + side * (padded[:, :-2] + padded[:, 2:])
    return down[..., 1:-1] * (1 - 2 * side) + side * (down[..., :-2] + down[..., 2:])


@lru_cache(maxsize=1)
def _cosines() -> Field:
    """Return the orthonormal 8-point cosine transform, [8, 8]."""
    k, n = np.arange(8)[:, None], np.arange(8)[None, :]
    table = np.cos((2 * n + 1) * k * math.pi / 16) * 0.5
    table[0] *= math.sqrt(0.5)
    return table.astype(np.float32)


def _compressed(pixels: Paint, step: float) -> Paint:
    """Round the cosine coefficients of 8 x 8 blocks, as JPEG does; high ones more coarsely."""
    size = pixels.shape[1]
    pad = -size % 8
    padded = np.pad(pixels, ((0, 0), (0, pad), (0, pad)), mode="edge")
    many = (size + pad) // 8
    blocks = padded.reshape(3, many, 8, many, 8).transpose(0, 1, 3, 2, 4)
    table = _cosines()
    steps = step * (1.0 + 0.6 * np.add.outer(np.arange(8), np.arange(8))).astype(np.float32)
    # einsum without a path runs numpy's own loops, whose order of sums does not depend on threads.
    coefficients = np.einsum("ki,cabij,lj->cabkl", table, blocks, table)
    rounded = np.round(coefficients / steps) * steps
    restored = np.einsum("ki,cabkl,lj->cabij", table, rounded, table)
    whole = restored.transpose(0, 1, 3, 2, 4).reshape(3, size + pad, size + pad)
    return whole[:, :size, :size]


def _lit(pixels: Paint, rng: Generator) -> Paint:
    """Apply exposure, gamma, white balance, haze and sometimes the shadow of a cloud."""
    balance = np.exp(rng.normal(0.0, 0.05, 3)).astype(np.float32).reshape(3, 1, 1)
    exposure, gamma = math.exp(rng.normal(0.0, 0.16)), math.exp(rng.normal(0.0, 0.12))
    lit = np.clip(pixels * balance * np.float32(exposure), 0.0, 1.2) ** np.float32(gamma)
    grey = (lit * LUMA).sum(axis=0, keepdims=True)
    lit = grey + (lit - grey) * np.float32(rng.uniform(0.55, 1.2))
    if rng.random() < 0.25:
        cloud = smooth_noise(rng, lit.shape[1], 2)
        lit = lit * (1.0 - np.float32(rng.uniform(0.2, 0.5)) * np.clip(cloud * 2 - 0.8, 0.0, 1.0))
    haze = rng.beta(1.2, 3.5) * 0.55
    air = np.array([0.66, 0.70, 0.74], np.float32).reshape(3, 1, 1)
    return lit + np.float32(haze) * (air - lit)


def render_camera(pixels: Paint, rng: Generator) -> NDArray[np.uint8]:
    """Turn a painted scene into the image that a camera would record.

    Args:
        pixels: [3, S, S] in about [0, 1].
        rng: of lighting, blur, noise and compression.

    Returns:
        [S, S, 3] bytes.
    """
    seen = _lit(pixels, rng)
    for strongest in (0.22, 0.12):
        if rng.random() < 0.5:
            seen = _blurred(seen, rng.uniform(0.02, strongest))
    noise = min(rng.gamma(1.5, 0.008), 0.035)
    shared = rng.standard_normal(seen.shape[1:], dtype=np.float32)
    own = rng.standard_normal(seen.shape, dtype=np.float32)
    seen = seen + np.float32(noise) * (shared + 0.5 * own)
    if rng.random() < 0.5:
        seen = _compressed(seen, rng.uniform(0.01, 0.05))
    levels = np.clip(np.round(seen * 255.0), 0.0, 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(1, 2, 0))
