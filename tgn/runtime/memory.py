"""How the C library treats the memory of tensors on CPUs, and how much was in use at most."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import torch

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


def restart_peak() -> None:
    """Begin a new measurement of :func:`peak_mib`, where the system can (Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): VmHWM


def peak_mib() -> int | None:
    """Return the largest memory since :func:`restart_peak` in MiB: the GPU's, else the process's.

    None where the system does not say (no Linux). A process that keeps freed memory
    (:func:`keep_freed_memory`) does not give back what an earlier work needed.
    """
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20)
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10)  # kB there are KiB
    return None


def return_freed_memory() -> None:
    """Give back to the system what is freed: glibc keeps it for the thread that had it.

    Four threads that have each decoded a large picture would keep some gigabytes.
    """
    if not sys.platform.startswith("linux"):
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
