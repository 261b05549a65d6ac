"""Whether a processor computes faster in bfloat16 than in float32: known, or else measured."""

import time
from functools import cache

import torch

SIDE = 512  # of the matrices that are multiplied: some milliseconds a product
TURNS = 5
WORTH_IT = 0.75  # of float32's time at most: far from what either maker's processors take


@cache
def cpu_is_faster_in_bf16() -> bool:
    """Return whether this CPU multiplies matrices faster in bfloat16; measured once a process.

    Matrix units (AMX) are faster, and CPUs without bfloat16 are slower. With AVX-512 BF16 alone it
    depends on the maker: an AMD EPYC trains 1.9 times as fast in bfloat16, an Intel Xeon 0.6
    times. The two take turns, so that other work on the machine slows both down. A resumed run
    finds the same, and of several processes the main one decides (`Device`).
    """
    # torch offers no public question
    if torch.cpu._is_amx_tile_supported():
        return True
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    half, full = _seconds(torch.bfloat16, torch.float32)
    return half < WORTH_IT * full


def _seconds(*precisions: torch.dtype) -> list[float]:
    """Return the shortest time of a matrix product in each precision."""
    matrices = [torch.ones(SIDE, SIDE, dtype=precision) for precision in precisions]
    times: list[list[float]] = [[] for _ in precisions]
    with torch.inference_mode():
        for _ in range(TURNS + 1):  # the first prepares the kernels, and is the longest
            for matrix, found in zip(matrices, times, strict=True):
                start = time.perf_counter()
                matrix @ matrix
                found.append(time.perf_counter() - start)
    return [min(found) for found in times]
