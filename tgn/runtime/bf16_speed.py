"""Whether a processor computes faster in bfloat16 than in float32: known, or else measured."""

import time
from functools import cache

import torch

SIDE = 512  # of the matrices that are multiplied: some milliseconds a product
TURNS = 5


@cache
def cpu_is_faster_in_bf16() -> bool:
    """Return whether this CPU multiplies matrices faster in bfloat16; measured once a process.

    Matrix units (AMX) are faster, and CPUs without bfloat16 are slower. With AVX-512 BF16 alone it
    depends on the maker: an AMD EPYC trains 1.9 times as fast in bfloat16, an Intel Xeon 0.6
    times. Neither lies near 1, so that every process of a machine, and a resumed run, finds the
    same without asking the others; a hundredth of a second decides.
    """
    # torch offers no public question
    if torch.cpu._is_amx_tile_supported():
        return True
    return torch.cpu._is_avx512_bf16_supported() and _seconds(torch.bfloat16) < _seconds(
        torch.float32
    )


def _seconds(precision: torch.dtype) -> float:
    """Return the shortest time of a matrix product."""
    matrix = torch.ones(SIDE, SIDE, dtype=precision)
    times = []
    with torch.inference_mode():
        for _ in range(TURNS + 1):  # the first prepares the kernel, and is the longest
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
    return min(times)
