"""How the C library treats the memory of tensors on CPUs."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3), malloc.h
_MOST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of any size for the next tensor; elsewhere do nothing.

    By default it gives blocks of 32 MiB and more back to the system at once and has them zeroed
    again at the next step, which takes a third of the time of drawing large images. The price:
    gaps between blocks, which made the peak of a training a tenth higher (docs/performance.md).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _MOST)
