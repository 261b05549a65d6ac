import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from tgn.runtime.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(2)][-1])
keep_freed_memory()
print([faults() for _ in range(24)][-1])  # it takes some blocks until one fits
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a matter of glibc")
def test_memory_that_was_freed_is_used_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True)
    without, kept = map(int, done.stdout.split())
    assert without > 100  # by default the system gives and zeroes it anew
    assert kept < 100
